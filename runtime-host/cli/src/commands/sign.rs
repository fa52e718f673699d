//! `sign`: signs a request for another HTTP client.

use crate::cli::Sign;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::sign::{Headers, Signable};
use duxnet_api::MAX_BODY_BYTES;
use serde_json::{Map, Value};
use std::io::{self, Read};

pub fn run(context: &Context, args: &Sign) -> Result<(), Failure> {
    let key = context.node_key()?;
    let body = args.body.as_deref().map(Body::read).transpose()?;
    let signable = Signable {
        network: context.network,
        method: &args.method,
        target: &args.target,
        body: body.as_ref().map_or(b"", Body::bytes),
    };
    let headers = signable.sign(&key)?;
    let text = if args.curl {
        curl(&context.url, args, &headers, body.as_ref())?
    } else if context.output.json {
        let Headers(headers) = headers;
        let members = headers.map(|(name, value)| (name.to_owned(), Value::String(value)));
        Value::Object(Map::from_iter(members)).to_string()
    } else {
        let Headers(headers) = headers;
        headers
            .map(|(name, value)| format!("{name}: {value}"))
            .join("\n")
    };
    output::print(&text);
    Ok(())
}

/// A body and where it came from.
enum Body {
    Text(String),
    File(String, Vec<u8>),
    Input(Vec<u8>),
}

impl Body {
    fn read(argument: &str) -> Result<Self, Failure> {
        match (argument, argument.strip_prefix('@')) {
            ("-", _) => Ok(Body::Input(limited(io::stdin().lock(), "standard input")?)),
            (_, Some(path)) => {
                let file = std::fs::File::open(path)
                    .map_err(|error| Failure::usage(format!("{path}: {error}")))?;
                Ok(Body::File(path.to_owned(), limited(file, path)?))
            }
            (text, None) => Ok(Body::Text(text.to_owned())),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Body::Text(text) => text.as_bytes(),
            Body::File(_, bytes) | Body::Input(bytes) => bytes,
        }
    }
}

fn limited(reader: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_BODY_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(Failure::usage(format!(
            "{name}: a body has at most {MAX_BODY_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

fn curl(url: &str, args: &Sign, headers: &Headers, body: Option<&Body>) -> Result<String, Failure> {
    let mut words = vec![
        "curl -sS -X".to_owned(),
        args.method.clone(),
        quoted(&format!("{url}{}", args.target)),
    ];
    for (name, value) in &headers.0 {
        words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    if let Some(body) = body {
        words.push(format!("-H {}", quoted("Content-Type: application/json")));
        words.push(match body {
            Body::File(path, _) => format!("--data-binary {}", quoted(&format!("@{path}"))),
            Body::Text(text) => literal(text.as_bytes())?,
            Body::Input(bytes) => literal(bytes)?,
        });
    }
    Ok(words.join(" "))
}

/// `--data-raw` sends a text as it is, one that starts with `@` too.
fn literal(bytes: &[u8]) -> Result<String, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(format!("--data-raw {}", quoted(text))),
        _ => Err(Failure::usage(
            "a shell cannot hold this body; put it into a file and use --body @FILE",
        )),
    }
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        for text in ["a b", "it's", "$HOME `x` \"y\" \\ \n!", "''", ""] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(text))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
