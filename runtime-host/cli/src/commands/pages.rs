//! Lists that come in pages.

use crate::cli::Page;
use crate::client::Answer;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::view::View;

/// Gets one page or all, and prints them: as they came, one per line, or as one text.
///
/// # Errors
/// The first page that is refused.
pub fn print(
    context: &Context,
    get: &dyn Fn(&str) -> Result<Answer, Failure>,
    path: &str,
    query: &[(&str, String)],
    page: &Page,
    text: impl FnOnce(&[View]) -> String,
) -> Result<(), Failure> {
    let mut cursor = page.cursor.clone();
    let mut views = Vec::new();
    loop {
        let answer = get(&target(path, query, page.limit, cursor.as_deref()))?;
        let view = View::parse(&answer.body);
        let next = view.string("/next_cursor");
        if context.output.json {
            context.output.answer(&answer.body, String::new);
        } else {
            views.push(view);
        }
        // A service that gives the same cursor again must not keep us here for ever.
        if !page.all || next.is_none() || next == cursor {
            cursor = next;
            break;
        }
        cursor = next;
    }
    if !context.output.json {
        output::print(&text(&views));
        if let Some(cursor) = cursor {
            output::note(&format!("there is more: --cursor {cursor}, or --all"));
        }
    }
    Ok(())
}

/// A path with its query.
#[must_use]
pub fn target(
    path: &str,
    query: &[(&str, String)],
    limit: Option<u32>,
    cursor: Option<&str>,
) -> String {
    let mut writer = form_urlencoded::Serializer::new(String::new());
    writer.extend_pairs(query);
    if let Some(limit) = limit {
        writer.append_pair("limit", &limit.to_string());
    }
    if let Some(cursor) = cursor {
        writer.append_pair("cursor", cursor);
    }
    match writer.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(target("/nodes", &[], None, None), "/nodes");
        assert_eq!(
            target(
                "/x",
                &[("since", "2024-01-01T00:00:00Z".into())],
                Some(5),
                Some("a=&b")
            ),
            "/x?since=2024-01-01T00%3A00%3A00Z&limit=5&cursor=a%3D%26b"
        );
    }
}
