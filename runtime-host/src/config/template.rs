//! Templates: text with `{{ name }}` in it, as in Spin's expressions.

use std::fmt;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// The name between the braces, without the blanks around it.
    Variable(String),
}

/// A template opens `{{` and never closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unmatched '{{{{' in template")]
pub struct Unmatched;

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// [`Unmatched`] when a `{{` has no `}}` after it.
    pub fn parse(text: &str) -> Result<Self, Unmatched> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, expression)) = rest.split_once("{{") {
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let (name, after) = expression.split_once("}}").ok_or(Unmatched)?;
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether the template names no variable.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The names it mentions, in order, repeated when it repeats them.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Variable(name) => Some(name.as_str()),
        })
    }

    /// Puts the value that `lookup` gives for each name in its place.
    ///
    /// # Errors
    ///
    /// The first error of `lookup`.
    pub fn resolve<'a, E>(
        &self,
        mut lookup: impl FnMut(&str) -> Result<&'a str, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => text.push_str(lookup(name)?),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(literal),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(text: &str) -> String {
        Template::parse(text)
            .unwrap()
            .resolve(|name| match name {
                "a" => Ok("A"),
                "empty" => Ok(""),
                other => Err(other.to_owned()),
            })
            .unwrap()
    }

    #[test]
    fn names_are_replaced() {
        assert_eq!(resolve(""), "");
        assert_eq!(resolve("x{{ a }}y{{a}}{{ empty }}"), "xAyA");
        assert_eq!(resolve("} }} {"), "} }} {");
        assert!(Template::parse("plain").unwrap().is_literal());
        assert!(!Template::parse("{{}}").unwrap().is_literal());
    }

    #[test]
    fn unmatched_braces_are_an_error() {
        assert_eq!(
            Template::parse("{{ a }} {{ b"),
            Err(Unmatched),
            "the second one is open"
        );
        assert_eq!(Unmatched.to_string(), "unmatched '{{' in template");
    }

    proptest! {
        #[test]
        fn text_without_braces_is_unchanged(text in "[^{]*") {
            prop_assert_eq!(resolve(&text), text);
        }

        #[test]
        fn a_value_is_never_read_as_a_template(value in "\\PC*", before in "[^{]*") {
            let template = Template::parse(&format!("{before}{{{{ v }}}}")).unwrap();
            let resolved = template.resolve(|_| Ok::<_, ()>(&value)).unwrap();
            prop_assert_eq!(resolved, format!("{before}{value}"));
        }

        #[test]
        fn what_is_shown_parses_to_the_same(text in "([^{}]|\\{\\{ ?[a-z_]+ ?\\}\\})*") {
            let template = Template::parse(&text).unwrap();
            prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
        }
    }
}
