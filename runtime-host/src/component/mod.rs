//! Components: from their files to the instances that answer requests.

pub mod bindings;
pub mod cache;
pub mod capabilities;
pub mod compose;
pub mod deny;
pub mod dispatch;
pub mod engine;
pub mod granted;
pub mod instance;
pub mod linked;
pub mod parallel;
