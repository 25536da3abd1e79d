//! Mounts as proc(5) lists them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Mounts by mount point, without numbers; what lies on the same point in its order.
pub fn mounts(mountinfo: &str) -> BTreeMap<String, Vec<Value>> {
    let mut mounts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((mount, source)) = line.split_once(" - ") else { continue };
        let mount: Vec<&str> = mount.split(' ').collect();
        let mut source = source.splitn(3, ' ');
        let (Some(root), Some(point), Some(options)) = (mount.get(3), mount.get(4), mount.get(5)) else {
            continue;
        };
        let tags = mount.iter().skip(6).map(|tag| tag.split(':').next().unwrap_or_default());
        mounts.entry((*point).to_owned()).or_default().push(json!({
            "root": if root.contains(":[") { "namespace" } else { root },
            "options": sorted(options),
            "propagation": tags.collect::<Vec<_>>().join(","),
            "type": source.next(),
            "source": source.next(),
            "data": source.next().map(sorted),
        }));
    }
    mounts
}

fn sorted(options: &str) -> String {
    let mut options: Vec<&str> = options.split(',').collect();
    options.sort_unstable();
    options.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_have_no_numbers() {
        let text = "40 39 0:5 /a /b rw,nosuid shared:1 master:2 - tmpfs none size=1k,rw\n\
                    41 40 0:6 mnt:[402] /b ro - nsfs nsfs rw\n";
        let first = json!({
            "root": "/a", "options": "nosuid,rw", "propagation": "shared,master", "type": "tmpfs",
            "source": "none", "data": "rw,size=1k",
        });
        let second = json!({
            "root": "namespace", "options": "ro", "propagation": "", "type": "nsfs", "source": "nsfs",
            "data": "rw",
        });
        assert_eq!(mounts(text), BTreeMap::from([("/b".to_owned(), vec![first, second])]));
    }
}
