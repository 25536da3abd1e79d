//! Names of the UTS namespace.

use core::ffi::CStr;

use crate::failure::{At, Fault, Op};

/// sethostname(2); an empty name leaves it.
pub fn hostname(name: &CStr) -> Result<(), Fault<'_>> {
    if name.is_empty() {
        return Ok(());
    }
    rustix::system::sethostname(name.to_bytes()).at(Op::Sethostname, name)
}

/// setdomainname(2); an empty name leaves it.
pub fn domainname(name: &CStr) -> Result<(), Fault<'_>> {
    if name.is_empty() {
        return Ok(());
    }
    rustix::system::setdomainname(name.to_bytes()).at(Op::Setdomainname, name)
}
