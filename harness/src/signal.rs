//! Signals by name and number (signal(7)).

use crate::error::{Error, Result};

/// The standard signals, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// First and last real-time signal, as the kernel counts.
const REALTIME: std::ops::RangeInclusive<i32> = 32..=64;

/// Parses a signal: a number, or a name in any case, with or without `SIG`; `RTMIN+N` too.
pub fn parse(text: &str) -> Result<i32> {
    let unknown = || Error::Usage(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Ok(index as i32 + 1);
    }
    match name {
        "IOT" => return Ok(6),
        "POLL" => return Ok(29),
        "CLD" => return Ok(17),
        _ => {}
    }
    // The C library keeps the first two for itself.
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(34),
        (_, Some("")) => Some(64),
        (Some(rest), _) => {
            rest.strip_prefix('+').and_then(|rest| rest.parse::<i32>().ok()).map(|add| 34 + add)
        }
        (_, Some(rest)) => {
            rest.strip_prefix('-').and_then(|rest| rest.parse::<i32>().ok()).map(|less| 64 - less)
        }
        _ => None,
    };
    number.filter(|number| (34..=64).contains(number)).ok_or_else(unknown)
}

/// The name of a signal, for messages.
pub fn name(signal: i32) -> String {
    match usize::try_from(signal - 1).ok().and_then(|index| NAMES.get(index)) {
        Some(name) => format!("SIG{name}"),
        None if REALTIME.contains(&signal) => format!("real-time signal {signal}"),
        None => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("9", 9), ("0", 0), ("RTMIN+1", 35)]
        {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "65", "-1", "FOO", "RTMIN+40", "RTMAX-40"] {
            assert_eq!(parse(bad).unwrap_err().to_string(), format!("unknown signal {bad:?}"));
        }
        assert_eq!([name(9), name(40), name(70)], ["SIGKILL", "real-time signal 40", "signal 70"]);
    }
}
