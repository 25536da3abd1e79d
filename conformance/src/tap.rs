//! A reader of the streams that the suite prints: TAP with JSON in its YAML blocks, several
//! documents one after the other, and stray lines between. Nothing is an error here; what is
//! missing is for the judge to notice.

use serde_json::Value;

/// What stands between two headers, or after the plan of the document before.
#[derive(Debug, Default, PartialEq)]
pub struct Document {
    /// Test points, in order.
    pub points: Vec<Point>,
    /// The last number of the plan.
    pub plan: Option<usize>,
    /// YAML blocks that hold JSON, wherever they stand.
    pub blocks: Vec<Value>,
    /// "Bail out!", with its reason.
    pub bail_out: Option<String>,
}

/// One `ok` or `not ok` line.
#[derive(Debug, PartialEq)]
pub struct Point {
    /// Whether it says `ok`.
    pub ok: bool,
    /// What was tested, with its directive.
    pub title: String,
    /// The error in the YAML block that follows.
    pub cause: Option<String>,
}

/// Splits a stream into its documents.
pub fn parse(stream: &str) -> Vec<Document> {
    let mut documents: Vec<Document> = Vec::new();
    let mut lines = stream.lines();
    while let Some(line) = lines.next() {
        let fresh = is_header(line)
            || documents.last().is_none_or(|document| document.plan.is_some() && !line.trim().is_empty());
        if fresh {
            documents.push(Document::default());
        }
        let Some(document) = documents.last_mut() else { continue };
        if line.trim() == "---" {
            let text: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "...").collect();
            document.attach(&text.join("\n"));
        } else if let Some(point) = point(line) {
            document.points.push(point);
        } else if let Some(plan) = plan(line) {
            document.plan = Some(plan);
        } else if let Some(reason) = line.strip_prefix("Bail out!") {
            document.bail_out = Some(reason.trim().to_owned());
        }
    }
    documents.retain(|document| *document != Document::default());
    documents
}

impl Document {
    /// Takes a YAML block in. One that is no JSON is a runtime's message that went through printf.
    fn attach(&mut self, text: &str) {
        let Ok(block) = serde_json::from_str::<Value>(text) else { return };
        if let Some(point) = self.points.last_mut() {
            point.cause = cause(&block);
        }
        self.blocks.push(block);
    }
}

/// The error that a block tells of, with what the runtime said.
pub fn cause(block: &Value) -> Option<String> {
    let text = |key: &str| block.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty());
    match (text("error")?, text("stderr")) {
        (error, Some(said)) => Some(format!("{error}: {said}")),
        (error, None) => Some(error.to_owned()),
    }
}

fn is_header(line: &str) -> bool {
    line.starts_with("TAP version ")
}

fn point(line: &str) -> Option<Point> {
    let (ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    // "okay" is no test point.
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start().trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
    let title = rest.strip_prefix("- ").unwrap_or(rest).trim();
    Some(Point { ok, title: title.to_owned(), cause: None })
}

fn plan(line: &str) -> Option<usize> {
    let last = line.strip_prefix("1..")?;
    last.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn titles(document: &Document) -> Vec<(bool, &str)> {
        document.points.iter().map(|point| (point.ok, point.title.as_str())).collect()
    }

    #[test]
    fn points_plans_and_directives() {
        let documents = parse("TAP version 13\nok 1 - a\nnot ok 2 - b # TODO\nok 3 # SKIP c\nok\n1..4\n");
        assert_eq!(documents.len(), 1);
        assert_eq!(titles(&documents[0]), [(true, "a"), (false, "b # TODO"), (true, "# SKIP c"), (true, "")]);
        assert_eq!(documents[0].plan, Some(4));
    }

    #[test]
    fn json_in_yaml_blocks() {
        let stream = "TAP version 13\n  ---\n  {\n    \"stdout\": \"not ok 1\\n1..1\\n\"\n  }\n  ...\n\
            not ok 1 - x\n  ---\n  {\n  \"error\": \"exit status 1\"\n  }\n  ...\n1..1\n";
        let documents = parse(stream);
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].blocks[0], json!({ "stdout": "not ok 1\n1..1\n" }));
        assert_eq!(documents[0].points[0].cause.as_deref(), Some("exit status 1"));
        assert_eq!(documents[0].points.len(), 1, "what stands in a block is no test point");
    }

    #[test]
    fn several_documents_with_and_without_headers() {
        let documents = parse("TAP version 13\nok 1\n1..1\n\nTAP version 13\nok 1\n1..1\nok 1\nok 2\n1..2\n");
        let shape: Vec<_> = documents.iter().map(|document| (document.points.len(), document.plan)).collect();
        assert_eq!(shape, [(1, Some(1)), (1, Some(1)), (2, Some(2))]);
    }

    #[test]
    fn broken_streams() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("TAP version 13\n"), []);
        let documents = parse("<nil>\nokay\nok 1 - a\n  ---\n  {\"a\": %!d(NOVERB)}\n");
        assert_eq!(titles(&documents[0]), [(true, "a")]);
        assert_eq!((documents[0].plan, documents[0].blocks.len()), (None, 0));
        assert_eq!(parse("Bail out! no root\n")[0].bail_out.as_deref(), Some("no root"));
    }
}
