//! The session keyring: the container's own, by name, so that no key of the caller's session
//! reaches it (keyctl(2), session-keyring(7)).

use core::ffi::CStr;

use rustix::io::Errno;

use crate::failure::{At, Fault, Op};
use crate::sys;

/// The processes of the keyring's user may search it, besides what the kernel grants.
const KEY_USR_SEARCH: u32 = 0x0008_0000;

/// Joins the session keyring `name` and refuses one that is another user's: a keyring is found by
/// its name, so someone else may have made it first. A `fresh` container's must be empty too, and
/// is made searchable.
pub fn join(name: &CStr, fresh: bool) -> Result<(), Fault<'_>> {
    let serial = match sys::join_session_keyring(name) {
        // A kernel without keys has none of the caller's either.
        Err(Errno::NOSYS) => return Ok(()),
        serial => serial.at(Op::Keyctl, name)?,
    };
    let mut description = [0; 128];
    let length = sys::describe_key(serial, &mut description).at(Op::Keyctl, name)?;
    let description = description.get(..length).unwrap_or(&description);
    let mut fields = description.split(|byte| *byte == b';').skip(1);
    let owner = fields.next().and_then(|field| number(field, 10));
    let permissions = fields.nth(1).and_then(|field| number(field, 16));
    let (Some(owner), Some(permissions)) = (owner, permissions) else {
        return Err(Fault::check(Op::VerifyKeyring, name));
    };
    let links = if fresh { sys::keyring_length(serial).at(Op::Keyctl, name)? } else { 0 };
    if owner != rustix::process::geteuid().as_raw() || links != 0 {
        return Err(Fault::check(Op::VerifyKeyring, name));
    }
    if !fresh {
        return Ok(());
    }
    sys::set_key_permissions(serial, permissions | KEY_USR_SEARCH).at(Op::Keyctl, name)
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| {
        value.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}
