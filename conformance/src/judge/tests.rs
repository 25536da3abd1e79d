use super::*;

fn program(toml: &str) -> Program {
    toml::from_str(&format!("class = \"passable\"\n{toml}")).unwrap()
}

fn failures(toml: &str, code: i32, stdout: &str, stderr: &str) -> Vec<String> {
    let program = program(toml);
    let ended = Ended { code: Some(code), seconds: 1.0 };
    judge(&program, program.ok, &ended, stdout, stderr).failures
}

#[test]
fn the_count_is_pinned() {
    assert!(failures("ok = 2", 0, "TAP version 13\nok 1\nok 2\n1..2\n", "").is_empty());
    assert_eq!(failures("ok = 2", 0, "TAP version 13\nok 1\n1..1\n", ""), ["1 ok, 2 expected"]);
    // A program that is cut off has neither a plan nor a failure.
    assert_eq!(failures("ok = 1", 0, "TAP version 13\nok 1\n", ""), ["no plan"]);
    assert_eq!(failures("ok = 1", 0, "ok 1\n1..2\n", ""), ["2 planned, 1 run"]);
    assert_eq!(failures("ok = 3", 0, "", ""), ["no plan", "0 ok, 3 expected"]);
}

#[test]
fn documents_are_counted_together() {
    assert!(failures("ok = 2", 0, "TAP version 13\nok 1\n1..1\nTAP version 13\nok 1\n1..1\n", "").is_empty());
}

#[test]
fn what_failed_is_said() {
    let stream = "not ok 1 - limit\n  ---\n  {\"error\": \"exit status 1\"}\n  ...\nok 2\n1..2\n";
    assert_eq!(failures("ok = 1", 0, stream, ""), ["not ok: limit: exit status 1"]);
    let said = failures("ok = 0", 1, "1..0\n", "failed to create the container\nRefer to: x\nno\n");
    assert_eq!(said, ["failed to create the container: no"]);
}

#[test]
fn embedded_documents_must_be_complete() {
    let stream = |inner: &str, stderr: &str| {
        format!("  ---\n  {}\n  ...\nok 1\n1..1\n", serde_json::json!({ "stdout": inner, "stderr": stderr }))
    };
    let judged = |toml: &str, inner: &str, stderr: &str| failures(toml, 0, &stream(inner, stderr), "");
    assert!(judged("ok = 1\ninner = 1", "ok 1\n1..1\n", "").is_empty());
    let never_ran = "the container's program reported 0 of 1 times";
    assert_eq!(judged("ok = 1\ninner = 1", "", ""), [never_ran]);
    assert_eq!(judged("ok = 1\ninner = 1", "ok 1\n", ""), [never_ran]);
    let failed = judged("ok = 1\ninner = 1", "not ok 1 - a\n1..1\n", "");
    assert_eq!(failed, ["not ok in the container: a"]);
    let cut_off = "ok = 1\ninner = 1\ninner-stderr = \"getwd\"";
    assert!(judged(cut_off, "ok 1\n", "getwd: no").is_empty());
    assert_eq!(judged(cut_off, "ok 1\n", ""), [never_ran]);
}

#[test]
fn silent_programs_about_hooks() {
    let judged = |stdout: &str, stderr: &str| failures("judge = \"hooks\"", 0, stdout, stderr);
    assert!(judged(EMPTY_DOCUMENT, "failed to create the container\n").is_empty());
    assert_eq!(judged("TAP version 13\n  ---\n  {\"error\": \"late\"}\n  ...\n1..0\n", ""), ["late"]);
    assert_eq!(judged(EMPTY_DOCUMENT, "WARNING: never ran\n"), ["WARNING: never ran"]);
    assert_eq!(judged("", ""), ["something else than an empty TAP document was printed"]);
}

#[test]
fn silent_programs_about_refusal() {
    let judged = |stdout: &str, stderr: &str| failures("judge = \"refusal\"", 0, stdout, stderr);
    assert!(judged("", "failed to create the container\nno\n").is_empty());
    assert_eq!(judged("", ""), ["create did not fail"]);
    assert_eq!(judged("x", "failed to create the container\n"), ["something was printed"]);
}

#[test]
fn time_is_limited() {
    let ended = Ended { code: None, seconds: 150.2 };
    let finding = judge(&program("ok = 1"), 1, &ended, "ok 1\n1..1\n", "");
    assert_eq!(finding.failures, ["its time was up after 150 s"]);
}
