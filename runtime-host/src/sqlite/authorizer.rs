//! What a component's SQL may do to its connection and to the host.
//!
//! Statements are judged when they are prepared. What reaches other files, or
//! settings of the whole process or file that others rely on, is denied. What
//! changes the connection for its later users is noted, so that it is undone or
//! the connection closed afterwards.

use std::sync::Arc;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::counts::Tally;
use super::file_session::{State, Taint};

/// Pragmas that only read, or that change what belongs to the database and is
/// the component's to change.
const HARMLESS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "max_page_count",
    "optimize",
    "page_count",
    "page_size",
    "quick_check",
    "schema_version",
    "shrink_memory",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

/// Pragmas of which only reading is harmless.
const READ_ONLY: &[&str] = &["encoding", "max_page_count", "page_size", "schema_version"];

/// Settings of a connection, put back when it is returned.
pub const RESTORED: &[(&str, &str)] = &[
    ("analysis_limit", "0"),
    ("automatic_index", "1"),
    ("cache_size", "-2000"),
    ("case_sensitive_like", "0"),
    ("defer_foreign_keys", "0"),
    ("foreign_keys", "1"),
    ("query_only", "0"),
    ("recursive_triggers", "0"),
    ("reverse_unordered_selects", "0"),
    ("secure_delete", "0"),
    ("synchronous", "2"),
    ("wal_autocheckpoint", "1000"),
];

/// Judges every action of a statement.
pub fn authorizer(
    state: Arc<State>,
    tally: Arc<Tally>,
) -> impl for<'a> FnMut(AuthContext<'a>) -> Authorization {
    move |context| {
        if tally.is_counting() {
            return Authorization::Allow;
        }
        if let AuthAction::Function { function_name } = context.action
            && function_name.eq_ignore_ascii_case("changes")
        {
            tally.note_asked();
        }
        let (verdict, taint) = judge(&context.action);
        if let Some(taint) = taint {
            state.taint(taint);
        }
        if let AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(value),
        } = context.action
        {
            if pragma_name.eq_ignore_ascii_case("busy_timeout") {
                state.set_busy_timeout(value);
            }
            // It stays with the connection's temporary database.
            if context.database_name == Some("temp") {
                state.taint(Taint::Discard);
            }
        }
        verdict
    }
}

fn judge(action: &AuthAction<'_>) -> (Authorization, Option<Taint>) {
    const ALLOW: (Authorization, Option<Taint>) = (Authorization::Allow, None);
    const DENY: (Authorization, Option<Taint>) = (Authorization::Deny, None);
    const DISCARD: (Authorization, Option<Taint>) = (Authorization::Allow, Some(Taint::Discard));
    match action {
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => judge_pragma(&pragma_name.to_ascii_lowercase(), *pragma_value),
        // VACUUM attaches a nameless temporary file; VACUUM INTO another file.
        AuthAction::Attach { filename: "" } => DISCARD,
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => DENY,
        AuthAction::Function { function_name }
            if function_name.eq_ignore_ascii_case("load_extension")
                || function_name.eq_ignore_ascii_case("fts3_tokenizer") =>
        {
            DENY
        }
        AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTrigger { .. }
        | AuthAction::DropTempView { .. } => DISCARD,
        AuthAction::Unknown { .. } => DENY,
        _ => ALLOW,
    }
}

/// At most 64 MiB: KiB if negative, else pages of 4 KiB.
fn is_small_cache(value: &str) -> bool {
    const KIB: i64 = 64 << 10;
    const PAGES: i64 = KIB / 4;
    value
        .parse()
        .is_ok_and(|size: i64| (-KIB..=PAGES).contains(&size))
}

fn judge_pragma(name: &str, value: Option<&str>) -> (Authorization, Option<Taint>) {
    let allow = |taint| (Authorization::Allow, taint);
    if name == "cache_size" && !value.is_none_or(is_small_cache) {
        return (Authorization::Deny, None);
    }
    if name == "busy_timeout" || RESTORED.iter().any(|(restored, _)| *restored == name) {
        return allow(value.map(|_| Taint::Restore));
    }
    // It tells of the others of one connection.
    if name == "data_version" && value.is_none() {
        return allow(Some(Taint::Restore));
    }
    // What a sort or a cache takes comes out of the memory that all share.
    if name == "temp_store" {
        return match value {
            Some(_) => (Authorization::Deny, None),
            None => allow(None),
        };
    }
    if name == "journal_mode" {
        // Others rely on it being what it is.
        let unchanged = value.is_none_or(|value| value.eq_ignore_ascii_case("wal"));
        return if unchanged {
            allow(None)
        } else {
            (Authorization::Deny, None)
        };
    }
    if HARMLESS.contains(&name) && (value.is_none() || !READ_ONLY.contains(&name)) {
        return allow(None);
    }
    (Authorization::Deny, None)
}
