//! The differences that are known, each with the reason why ours is right.

use serde::Deserialize;
use wildmatch::WildMatch;

use super::compare::Difference;
use crate::error::{Context, Result};

/// differences.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The differences.
    #[serde(rename = "difference")]
    pub known: Vec<Known>,
}

/// A difference with its reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    title: String,
    reason: String,
    seen: Vec<Seen>,
}

/// Where it is seen: in each of these cases, with each of these peers. All but the peers' names may
/// have `*` and `?`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The version of cgroups, where it matters.
    #[serde(default)]
    cgroup: Option<u8>,
    cases: Vec<String>,
    peers: Vec<String>,
    at: String,
    ours: String,
    theirs: String,
}

fn matches(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

impl Seen {
    /// Every case with every peer.
    fn places(&self) -> impl Iterator<Item = (&String, &String)> {
        self.cases.iter().flat_map(|case| self.peers.iter().map(move |peer| (case, peer)))
    }

    fn is(&self, (case, peer): (&String, &String), found: &Difference) -> bool {
        peer == &found.peer
            && matches(case, &found.case)
            && matches(&self.at, &found.at)
            && matches(&self.ours, &found.ours)
            && matches(&self.theirs, &found.theirs)
    }
}

impl Listed {
    /// Reads the list.
    pub fn load() -> Result<Self> {
        let text = include_str!("../../differential/differences.toml");
        toml::from_str(text).at("read", "differential/differences.toml")
    }

    /// Those that are not listed, and lines of the list that nothing matches. `ran` are the cases
    /// that were run, `peers` the runtimes, `cgroup` the machine's version of cgroups: what these
    /// cannot show is not missed.
    pub fn check<'f>(
        &self,
        found: &'f [Difference],
        ran: &[String],
        peers: &[String],
        cgroup: u8,
    ) -> (Vec<&'f Difference>, Vec<String>) {
        let here = |seen: &&Seen| seen.cgroup.is_none_or(|version| version == cgroup);
        let seen = || self.known.iter().flat_map(|known| &known.seen).filter(here);
        let listed = |found: &Difference| seen().any(|seen| seen.places().any(|place| seen.is(place, found)));
        let unlisted = found.iter().filter(|found| !listed(found)).collect();
        let mut gone = Vec::new();
        for line in seen() {
            for (case, peer) in line.places() {
                let could = peers.contains(peer) && ran.iter().any(|ran| matches(case, ran));
                if could && !found.iter().any(|found| line.is((case, peer), found)) {
                    gone.push(format!("{case} {peer} {}: {} | {}", line.at, line.ours, line.theirs));
                }
            }
        }
        (unlisted, gone)
    }

    /// differences.md.
    pub fn page(&self) -> String {
        let mut page = format!(
            "# Differences from crun and runc\n\n\
             `just differential` runs the cases of [differential/cases.toml](differential/cases.toml) with this\n\
             runtime and those of `just peers`, and fails on any difference that is not here, and on any here\n\
             that is not there any more. `harness-conformance differences` writes this page from\n\
             [differential/differences.toml](differential/differences.toml). A difference of the default case is\n\
             in all others, too, and stands here once.\n\n{} differences are known.\n",
            self.known.len()
        );
        for known in &self.known {
            page += &format!("\n## {}\n\n{}\n\n", known.title, known.reason.trim());
            page += "| cases | place | ours | theirs | of |\n|---|---|---|---|---|\n";
            for seen in &known.seen {
                let cell = |text: &String| match text.as_str() {
                    "" => "empty".to_owned(),
                    text => format!("`{}`", text.replace('|', "\\|")),
                };
                let cells = [&seen.at, &seen.ours, &seen.theirs].map(cell).join(" | ");
                let on = seen.cgroup.map(|version| format!(" (cgroup v{version})")).unwrap_or_default();
                let (cases, peers) = (seen.cases.join(", "), seen.peers.join(", "));
                page += &format!("| {cases}{on} | {cells} | {peers} |\n");
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_list_makes() {
        assert_eq!(include_str!("../../differences.md"), Listed::load().unwrap().page());
    }

    #[test]
    fn both_kinds_of_surprise_are_found() {
        let list = "[[difference]]\ntitle = 't'\nreason = 'r'\nseen = [\
                    {cases=['a*'], peers=['crun','runc'], at='x', ours='1', theirs='*'}]";
        let listed: Listed = toml::from_str(list).unwrap();
        let one = |case: &str, peer: &str| Difference {
            case: case.to_owned(),
            peer: peer.to_owned(),
            at: "x".to_owned(),
            ours: "1".to_owned(),
            theirs: "2".to_owned(),
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let found = [one("ab", "crun"), one("b", "crun")];
        let (unlisted, gone) = listed.check(&found, &names(&["ab", "b"]), &names(&["crun", "runc"]), 1);
        assert_eq!(unlisted, [&found[1]]);
        assert_eq!(gone, ["a* runc x: 1 | *"]);
        let (_, gone) = listed.check(&[], &names(&["b"]), &names(&["crun"]), 1);
        assert_eq!(gone, names(&[]));
    }
}
