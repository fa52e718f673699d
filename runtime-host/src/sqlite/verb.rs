//! What a statement is about, by its first word.

/// Whether it may begin a transaction that goes on after it.
pub fn begins_transaction(sql: &str) -> bool {
    is_one_of(sql, &["BEGIN", "SAVEPOINT"])
}

/// Whether one that writes counts the rows it changes. `WITH` that only reads is
/// for the caller to know.
pub fn counts_changes(sql: &str) -> bool {
    is_one_of(sql, &["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"])
}

fn is_one_of(sql: &str, verbs: &[&str]) -> bool {
    let first = first_word(sql);
    verbs.iter().any(|verb| first.eq_ignore_ascii_case(verb))
}

/// Behind what SQLite skips: space, a byte order mark, semicolons, comments.
fn first_word(sql: &str) -> &str {
    let is_skipped = |c: char| c.is_whitespace() || c == '\u{feff}' || c == ';';
    let mut rest = sql.trim_start_matches(is_skipped);
    loop {
        let (comment, end) = if let Some(line) = rest.strip_prefix("--") {
            (line, "\n")
        } else if let Some(block) = rest.strip_prefix("/*") {
            (block, "*/")
        } else {
            break;
        };
        let Some((_, behind)) = comment.split_once(end) else {
            return "";
        };
        rest = behind.trim_start_matches(is_skipped);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic());
    &rest[..end.unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_statement_is_known_by_its_first_word() {
        for sql in [
            "BEGIN",
            "begin immediate",
            "\n -- why\n /* and */ Savepoint a",
            ";\u{feff} BEGIN;",
        ] {
            assert!(begins_transaction(sql), "{sql}");
            assert!(!counts_changes(sql), "{sql}");
        }
        for sql in [
            "INSERT INTO t VALUES (1)",
            "/**/update t SET v = 1",
            "--\nDelete FROM t",
            "replace INTO t VALUES (1)",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        ] {
            assert!(counts_changes(sql), "{sql}");
            assert!(!begins_transaction(sql), "{sql}");
        }
        for sql in [
            "",
            "beginning",
            "SELECT 'BEGIN'",
            "COMMIT",
            "-- BEGIN",
            "/* BEGIN",
            "/*",
            "/*/ BEGIN",
        ] {
            assert!(!begins_transaction(sql) && !counts_changes(sql), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-*/; \\nBEGINbegin\\PC]*") {
            begins_transaction(&text);
        }
    }
}
