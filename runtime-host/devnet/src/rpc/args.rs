//! Parameters, and Core's complaints about them.

use super::{RpcError, codes};
use crate::amount::Florins;
use crate::json::Json;

static NULL: Json = Json::Null;

/// The parameters of one call, by position.
#[derive(Clone, Debug)]
pub struct Args(Vec<Json>);

impl Args {
    /// Takes a list as it is; named parameters go to their places, holes before them become null.
    ///
    /// # Errors
    /// [`codes::PARAMETER`] for a name that the method does not have.
    pub fn new(params: &Json, names: &[&str]) -> Result<Self, RpcError> {
        match params {
            Json::Array(values) => Ok(Args(values.clone())),
            Json::Object(members) => {
                let mut values: Vec<Json> = Vec::new();
                for (place, name) in names.iter().enumerate() {
                    if let Some(value) = params.get(name) {
                        values.resize(place, Json::Null);
                        values.push(value.clone());
                    }
                }
                match members
                    .iter()
                    .find(|(name, _)| !names.contains(&name.as_str()))
                {
                    Some((name, _)) => Err(RpcError::new(
                        codes::PARAMETER,
                        format!("Unknown named parameter {name}"),
                    )),
                    None => Ok(Args(values)),
                }
            }
            _ => Ok(Args(Vec::new())),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one at this place, null or not.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        place < self.0.len()
    }

    /// The one at this place; null if there is none.
    #[must_use]
    pub fn get(&self, place: usize) -> &Json {
        self.0.get(place).unwrap_or(&NULL)
    }

    /// The one at this place, unless it is missing or null.
    #[must_use]
    pub fn given(&self, place: usize) -> Option<&Json> {
        self.0.get(place).filter(|value| **value != Json::Null)
    }

    /// A text.
    ///
    /// # Errors
    /// [`codes::MISC`] for another type.
    pub fn text(&self, place: usize) -> Result<&str, RpcError> {
        text(self.get(place))
    }

    /// A whole number of 32 bits.
    ///
    /// # Errors
    /// [`codes::MISC`] for another type or size.
    pub fn int(&self, place: usize) -> Result<i32, RpcError> {
        int(self.get(place))
    }

    /// A whole number, or `default` if it is missing. Null is not missing.
    ///
    /// # Errors
    /// [`codes::MISC`] for another type or size.
    pub fn int_or(&self, place: usize, default: i32) -> Result<i32, RpcError> {
        if self.has(place) {
            self.int(place)
        } else {
            Ok(default)
        }
    }

    /// A truth value, or `default` if it is missing. Null is not missing.
    ///
    /// # Errors
    /// [`codes::MISC`] for another type.
    pub fn bool_or(&self, place: usize, default: bool) -> Result<bool, RpcError> {
        if self.has(place) {
            bool(self.get(place))
        } else {
            Ok(default)
        }
    }

    /// Checks types in order as some methods do before anything else; `nulls` lets null stand for all.
    ///
    /// # Errors
    /// [`codes::TYPE`] for the first that differs.
    pub fn expect_types(&self, types: &[&str], nulls: bool) -> Result<(), RpcError> {
        for (value, expected) in self.0.iter().zip(types) {
            if !(nulls && *value == Json::Null) {
                expect_type(value, expected)?;
            }
        }
        Ok(())
    }
}

/// Checks the type of a value.
///
/// # Errors
/// [`codes::TYPE`] if it is another.
pub fn expect_type(value: &Json, expected: &str) -> Result<(), RpcError> {
    if value.type_name() == expected {
        return Ok(());
    }
    Err(RpcError::new(
        codes::TYPE,
        format!("Expected type {expected}, got {}", value.type_name()),
    ))
}

/// A text.
///
/// # Errors
/// [`codes::MISC`] for another type.
pub fn text(value: &Json) -> Result<&str, RpcError> {
    value
        .as_str()
        .ok_or_else(|| RpcError::new(codes::MISC, "JSON value is not a string as expected"))
}

/// A truth value.
///
/// # Errors
/// [`codes::MISC`] for another type.
pub fn bool(value: &Json) -> Result<bool, RpcError> {
    match value {
        Json::Bool(value) => Ok(*value),
        _ => Err(RpcError::new(
            codes::MISC,
            "JSON value is not a boolean as expected",
        )),
    }
}

/// A whole number of 32 bits.
///
/// # Errors
/// [`codes::MISC`] for another type or size.
pub fn int(value: &Json) -> Result<i32, RpcError> {
    number(value)
}

/// A whole number of some size. A point or an exponent makes it no whole number, as in Core.
///
/// # Errors
/// [`codes::MISC`] for another type or size.
pub fn number<N: std::str::FromStr>(value: &Json) -> Result<N, RpcError> {
    match value {
        Json::Number(token) => token
            .parse()
            .map_err(|_| RpcError::new(codes::MISC, "JSON integer out of range")),
        _ => Err(RpcError::new(
            codes::MISC,
            "JSON value is not an integer as expected",
        )),
    }
}

/// An amount, as number or text.
///
/// # Errors
/// [`codes::TYPE`] for anything else.
pub fn amount(value: &Json) -> Result<Florins, RpcError> {
    match value {
        Json::Number(text) | Json::String(text) => {
            Florins::parse(text).map_err(|error| RpcError::new(codes::TYPE, error.to_string()))
        }
        _ => Err(RpcError::new(
            codes::TYPE,
            "Amount is not a number or string",
        )),
    }
}

/// Bytes in hexadecimal, at least one.
///
/// # Errors
/// [`codes::PARAMETER`] with the parameter's name.
pub fn hex_bytes(value: &Json, name: &str) -> Result<Vec<u8>, RpcError> {
    let text = value.as_str().unwrap_or_default();
    let bytes = <Vec<u8> as bitcoin::hex::FromHex>::from_hex(text)
        .ok()
        .filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| {
        RpcError::new(
            codes::PARAMETER,
            format!("{name} must be hexadecimal string (not '{text}')"),
        )
    })
}

/// A hash, strictly: 64 hexadecimal digits.
///
/// # Errors
/// [`codes::PARAMETER`] with the parameter's name.
pub fn txid(value: &Json, name: &str) -> Result<bitcoin::Txid, RpcError> {
    hex_bytes(value, name)?;
    let text = value.as_str().unwrap_or_default();
    if text.len() != 64 {
        let message = format!("{name} must be of length 64 (not {})", text.len());
        return Err(RpcError::new(codes::PARAMETER, message));
    }
    Ok(crate::network::lenient_txid(text))
}
