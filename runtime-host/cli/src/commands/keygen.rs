//! `keygen`: makes a node's key.

use crate::cli::Keygen;
use crate::context::Context;
use crate::failure::Failure;
use crate::key_file::NodeKey;
use crate::output::pairs;
use serde_json::json;

pub fn run(context: &Context, args: Keygen) -> Result<(), Failure> {
    let path = context.key_path()?;
    let key = NodeKey::generate(args.node_id)?;
    let kept = key.save(&path, args.force)?;
    let shown = path.display().to_string();
    let summary = json!({
        "node_id": key.node_id().as_str(),
        "public_key": key.public_hex(),
        "key_file": shown,
        "old_key_file": kept.as_ref().map(|kept| kept.display().to_string()),
    });
    context.output.answer(summary.to_string().as_bytes(), || {
        let mut rows = vec![
            ("node id", key.node_id().to_string()),
            ("public key", key.public_hex()),
            ("key file", shown.clone()),
        ];
        if let Some(kept) = &kept {
            rows.push(("old key file", kept.display().to_string()));
        }
        pairs(&rows)
    });
    Ok(())
}
