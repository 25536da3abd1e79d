use super::*;

/// The truth: for each bit of the access the last rule that matches.
fn reference(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
    [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let matches = |rule: &&Rule| {
            let scope = match rule.scope {
                Scope::All => true,
                Scope::Char => kind == CHAR,
                Scope::Block => kind == BLOCK,
            };
            scope
                && rule.access & bit != 0
                && rule.major.is_none_or(|number| number == major)
                && rule.minor.is_none_or(|number| number == minor)
        };
        rules.iter().rev().find(matches).is_some_and(|rule| rule.allow)
    })
}

/// Runs a program in rbpf's interpreter.
fn verdict(program: Option<&[u8]>, kind: u32, access: u32, major: u32, minor: u32) -> bool {
    let Some(program) = program else { return true };
    let mut context = Vec::new();
    for word in [access << 16 | kind, major, minor] {
        context.extend_from_slice(&word.to_ne_bytes());
    }
    let machine = rbpf::EbpfVmRaw::new(Some(program)).unwrap();
    machine.execute_program(&mut context).unwrap() == 1
}

fn check(rules: &[Rule]) -> usize {
    let program = compile(rules);
    for kind in [BLOCK, CHAR] {
        for access in 1..=7 {
            for major in [0, 1, 2, 5, 136, 1 << 31] {
                for minor in [0, 1, 3, 5, 9, 30, 31, 64, u32::MAX] {
                    assert_eq!(
                        verdict(program.as_deref(), kind, access, major, minor),
                        reference(rules, kind, access, major, minor),
                        "type {kind} access {access} device {major}:{minor} of {rules:?}"
                    );
                }
            }
        }
    }
    program.map_or(0, |program| program.len() / 8)
}

fn plan(json: &str) -> Vec<Rule> {
    let config = format!(r#"{{"resources":{{"devices":{json}}}}}"#);
    let linux: crate::spec::Linux<'_> = serde_json::from_str(&config).unwrap();
    crate::plan::Cgroup::new(&linux, "x", &crate::plan::Facts::default()).unwrap().devices
}

#[test]
fn the_default_list_takes_at_most_21_instructions() {
    let length = check(&plan(r#"[{"allow":false,"access":"rwm"}]"#));
    assert!(length <= 21, "{length}");
}

#[test]
fn nothing_configured_denies_by_default() {
    assert_eq!(plan("[]"), plan(r#"[{"allow":false,"access":"rwm"}]"#)[1..]);
    assert!(!verdict(compile(&plan("[]")).as_deref(), BLOCK, 2, 8, 0));
}

#[test]
fn privileged_needs_no_program() {
    assert_eq!(check(&plan(r#"[{"allow":true,"access":"rwm"}]"#)), 0);
}

#[test]
fn every_shape_of_list_agrees_with_the_reference() {
    // A small generator of its own: the same lists in every run.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |limit: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % limit
    };
    for _ in 0..600 {
        let rules: Vec<Rule> = (0..=random(8))
            .map(|_| {
                let scope = [Scope::Char, Scope::Block, Scope::Char, Scope::All][random(4) as usize];
                let wild = scope == Scope::All;
                let major = random(8);
                Rule {
                    allow: random(3) != 0,
                    scope,
                    major: (major < 6 && !wild).then_some(major as u32),
                    minor: [None, Some(3), Some(31), Some(64)][random(4) as usize].filter(|_| !wild),
                    access: 1 + random(7) as u32,
                }
            })
            .collect();
        check(&rules);
    }
}
