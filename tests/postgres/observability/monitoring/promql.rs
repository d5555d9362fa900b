//! As much of PromQL as the dashboard and the alerts use. `promtool` checks the grammar.

const FUNCTIONS: [&str; 9] =
    ["sum", "rate", "increase", "histogram_quantile", "topk", "vector", "max", "min", "count"];
const OPERATORS: [&str; 4] = ["and", "or", "unless", "offset"];
const LISTS: [&str; 4] = ["by", "without", "on", "ignoring"];

/// What an expression names.
#[derive(Default)]
pub(super) struct Expression {
    /// The series, with the labels and values of their matchers.
    pub(super) selectors: Vec<(String, Vec<(String, String)>)>,
    /// The labels that results are grouped or joined by.
    pub(super) groupings: Vec<String>,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '[' {
                rest = after(rest, ']')?.1;
            } else if first.is_ascii_digit() {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
            } else if first.is_ascii_alphabetic() || first == '_' {
                rest = parsed.word(rest)?;
            } else {
                rest = &rest[first.len_utf8()..];
            }
            rest = rest.trim_start();
        }
        Ok(parsed)
    }

    /// Reads a word and what belongs to it, and returns what follows.
    fn word<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        let rest = rest.trim_start();
        if OPERATORS.contains(&word) {
            return Ok(rest);
        }
        if LISTS.contains(&word) {
            let (labels, rest) = after(rest, ')')?;
            let labels = labels.trim_start_matches('(').split(',');
            self.groupings.extend(labels.map(|label| label.trim().to_owned()));
            return Ok(rest);
        }
        if FUNCTIONS.contains(&word) {
            return Ok(rest);
        }
        let (matchers, rest) = match rest.strip_prefix('{') {
            Some(rest) => after(rest, '}')?,
            None => ("", rest),
        };
        let matchers = matchers.split_terminator(',').map(|matcher| {
            let (label, value) = matcher.split_once('=').ok_or(format!("matcher {matcher}"))?;
            let value = value.trim_start_matches('~').trim_matches('"');
            Ok((label.trim_end_matches('!').trim().to_owned(), value.to_owned()))
        });
        self.selectors.push((word.to_owned(), matchers.collect::<Result<_, String>>()?));
        Ok(rest)
    }
}

fn after(text: &str, end: char) -> Result<(&str, &str), String> {
    text.split_once(end).ok_or(format!("no {end} in {text}"))
}
