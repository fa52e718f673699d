//! Columns into types, fallibly.

use crate::{Row, StoreError, Value};
use duxnet_units::{Amount, NodeId, OutPoint, Timestamp, Txid};

/// Walks a row's columns in order.
pub(crate) struct Columns {
    values: std::vec::IntoIter<Value>,
}

impl Columns {
    pub(crate) fn of(row: Row) -> Self {
        Columns {
            values: row.0.into_iter(),
        }
    }

    fn next(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Null)
    }

    pub(crate) fn integer(&mut self, column: &'static str) -> Result<i64, StoreError> {
        match self.next() {
            Value::Integer(value) => Ok(value),
            other => Err(corrupt(column, &other)),
        }
    }

    pub(crate) fn optional_integer(
        &mut self,
        column: &'static str,
    ) -> Result<Option<i64>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Integer(value) => Ok(Some(value)),
            other => Err(corrupt(column, &other)),
        }
    }

    pub(crate) fn text(&mut self, column: &'static str) -> Result<String, StoreError> {
        match self.next() {
            Value::Text(value) => Ok(value),
            other => Err(corrupt(column, &other)),
        }
    }

    pub(crate) fn optional_text(
        &mut self,
        column: &'static str,
    ) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value)),
            other => Err(corrupt(column, &other)),
        }
    }

    pub(crate) fn amount(&mut self, column: &'static str) -> Result<Amount, StoreError> {
        let florins = self.integer(column)?;
        u64::try_from(florins)
            .ok()
            .and_then(|florins| Amount::from_florins(florins).ok())
            .ok_or_else(|| corrupt(column, &Value::Integer(florins)))
    }

    pub(crate) fn optional_amount(
        &mut self,
        column: &'static str,
    ) -> Result<Option<Amount>, StoreError> {
        self.optional_integer(column)?
            .map(|florins| {
                u64::try_from(florins)
                    .ok()
                    .and_then(|florins| Amount::from_florins(florins).ok())
                    .ok_or_else(|| corrupt(column, &Value::Integer(florins)))
            })
            .transpose()
    }

    pub(crate) fn small(&mut self, column: &'static str) -> Result<u32, StoreError> {
        let value = self.integer(column)?;
        u32::try_from(value).map_err(|_| corrupt(column, &Value::Integer(value)))
    }

    pub(crate) fn optional_small(
        &mut self,
        column: &'static str,
    ) -> Result<Option<u32>, StoreError> {
        self.optional_integer(column)?
            .map(|value| u32::try_from(value).map_err(|_| corrupt(column, &Value::Integer(value))))
            .transpose()
    }

    pub(crate) fn time(&mut self, column: &'static str) -> Result<Timestamp, StoreError> {
        let seconds = self.integer(column)?;
        Timestamp::from_unix_seconds(seconds).map_err(|_| corrupt(column, &Value::Integer(seconds)))
    }

    pub(crate) fn optional_time(
        &mut self,
        column: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.optional_integer(column)?
            .map(|s| {
                Timestamp::from_unix_seconds(s).map_err(|_| corrupt(column, &Value::Integer(s)))
            })
            .transpose()
    }

    pub(crate) fn node_id(&mut self, column: &'static str) -> Result<NodeId, StoreError> {
        let text = self.text(column)?;
        NodeId::parse(&text).map_err(|_| corrupt(column, &Value::Text(text)))
    }

    pub(crate) fn optional_node_id(
        &mut self,
        column: &'static str,
    ) -> Result<Option<NodeId>, StoreError> {
        self.optional_text(column)?
            .map(|text| NodeId::parse(&text).map_err(|_| corrupt(column, &Value::Text(text))))
            .transpose()
    }

    pub(crate) fn txid(&mut self, column: &'static str) -> Result<Txid, StoreError> {
        self.optional_txid(column)?
            .ok_or_else(|| corrupt(column, &Value::Null))
    }

    /// Two columns: txid and vout.
    pub(crate) fn outpoint(&mut self, column: &'static str) -> Result<OutPoint, StoreError> {
        Ok(OutPoint {
            txid: self.txid(column)?,
            vout: self.small(column)?,
        })
    }

    pub(crate) fn optional_txid(
        &mut self,
        column: &'static str,
    ) -> Result<Option<Txid>, StoreError> {
        self.optional_text(column)?
            .map(|text| Txid::parse(&text).map_err(|_| corrupt(column, &Value::Text(text))))
            .transpose()
    }
}

pub(crate) fn corrupt(column: &'static str, value: &Value) -> StoreError {
    StoreError::Corrupt {
        column,
        value: format!("{value:?}"),
    }
}

/// An amount as a parameter. [`Amount::MAX`] is below `i64::MAX`.
pub(crate) fn florins(amount: Amount) -> Value {
    Value::Integer(i64::try_from(amount.florins()).unwrap_or(i64::MAX))
}
