//! What an operator sets: variables and where their values come from, and where an
//! application's state is.

pub mod interval;
pub mod runtime_config;
pub mod template;
pub mod variables;
pub mod yaml;
