//! Splits migrations/*.sql into statements, without comments and indentation: every component that
//! opens the database carries their text.
//!
//! A statement ends with a line that starts in the first column and ends with a semicolon, so a
//! trigger's own statements, being indented, stay inside it. What was released is never edited.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    let mut files: Vec<_> = fs::read_dir("migrations")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    let mut source = String::from("const MIGRATIONS: &[(&str, &[&str])] = &[\n");
    for file in &files {
        let statements = statements(&fs::read_to_string(file)?);
        source += &format!("({:?}, &{statements:?}),\n", name(file));
    }
    source += "];\n";
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("migrations.rs"), source)
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
