//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the system's soft limit to the hard one, and warns if `wanted` files
/// would still be too many: bounds that the system undercuts are none.
pub fn allow(wanted: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!("the limit of open files stays as it is: {e}");
            limit = getrlimit(Resource::Nofile);
        }
    }
    if let Some(allowed) = limit.current
        && usize::try_from(allowed).is_ok_and(|allowed| allowed < wanted)
    {
        tracing::warn!(
            "the system allows {allowed} open files, and the bounds up to {wanted}: beyond that, \
             connections wait or fail (`ulimit -n`, LimitNOFILE of systemd)"
        );
    }
}
