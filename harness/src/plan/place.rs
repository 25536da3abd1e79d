//! Places in config.json, spelled only where somebody is told: every start would pay for it.

use std::fmt;

/// An element of a list of config.json, one of its options, or something that has a name instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    name: &'static str,
    index: Option<usize>,
    option: Option<usize>,
}

impl Place {
    /// What goes by its name.
    pub const fn named(name: &'static str) -> Self {
        Self { name, index: None, option: None }
    }

    /// An element of the list at a JSON pointer.
    pub const fn element(list: &'static str, index: usize) -> Self {
        Self { name: list, index: Some(index), option: None }
    }

    /// One of its options.
    pub const fn mount_option(self, index: usize) -> Self {
        Self { option: Some(index), ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |index| write!(f, "/{index}"))?;
        self.option.map_or(Ok(()), |index| write!(f, "/options/{index}"))
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}
