//! Splits migrations/*.sql into statements, without comments and indentation, and compresses them:
//! every component that opens the database carries their text, and few ever read it.
//!
//! A statement ends with a line that starts in the first column and ends with a semicolon, so a
//! trigger's own statements, being indented, stay inside it. What was released is never edited.

use std::path::Path;
use std::{env, fs, io};

/// The highest: it is compressed once and carried many times.
const COMPRESSION_LEVEL: u8 = 10;

/// Between migrations, and between a migration's name and its statements (ASCII record and unit
/// separator).
const SEPARATORS: (char, char) = ('\u{1e}', '\u{1f}');

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    let mut files: Vec<_> = fs::read_dir("migrations")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    let (record, unit) = SEPARATORS;
    let mut text = String::new();
    for file in &files {
        if !text.is_empty() {
            text.push(record);
        }
        text.push_str(&name(file));
        let statements = statements(&fs::read_to_string(file)?);
        assert!(!statements.is_empty(), "no statement in {file:?}");
        for statement in statements {
            assert!(
                !statement.contains([record, unit]),
                "a separator in {file:?}"
            );
            text.push(unit);
            text.push_str(&statement);
        }
    }
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let out = Path::new(&out);
    fs::write(
        out.join("migrations.deflate"),
        miniz_oxide::deflate::compress_to_vec(text.as_bytes(), COMPRESSION_LEVEL),
    )?;
    fs::write(
        out.join("migrations.rs"),
        format!(
            "const COUNT: i64 = {};\nconst TEXT_BYTES: usize = {};\n\
             const RECORD: char = {record:?};\nconst UNIT: char = {unit:?};\n\
             const COMPRESSED: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/migrations.deflate\"));\n",
            files.len(),
            text.len(),
        ),
    )
}

/// `0001_initial.sql` is `initial`.
fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.split_once('_')
        .map_or_else(|| stem.to_string(), |(_, name)| name.to_owned())
}

fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    for line in sql
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    {
        current.push_str(line.trim());
        current.push('\n');
        if line.ends_with(';') && !line.starts_with(char::is_whitespace) {
            statements.push(std::mem::take(&mut current));
        }
    }
    statements
}
