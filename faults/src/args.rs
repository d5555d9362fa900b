//! The command line.

use crate::extent::Extent;
use crate::fault::FAULTS;

pub(crate) const HELP: &str = "\
Injects faults under load, and checks that nothing acknowledged is lost.

cargo run --release -p faults -- [options]

  --short            a short run of every fault
  --only NAME,…      only these faults
  --skip NAME,…      all faults but these
  --seconds N        duration of the faults terminated (default 60) and contention (default 600)
  --help             print this help";

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Args {
    pub(crate) extent: Extent,
    only: Option<Vec<String>>,
    skip: Vec<String>,
}

impl Args {
    /// Parses the arguments. `None` if help is requested.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || {
                inline.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--short" => args.extent.short = true,
                "--only" => args.only = Some(fault_names(&value()?)?),
                "--skip" => args.skip = fault_names(&value()?)?,
                "--seconds" => {
                    let seconds = value()?;
                    let seconds = seconds.parse().map_err(|_| format!("{seconds}: no number"))?;
                    args.extent.seconds = Some(seconds);
                }
                _ => return Err(format!("{name}: no such option")),
            }
        }
        Ok(Some(args))
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|one| one == name))
            && !self.skip.iter().any(|one| one == name)
    }
}

fn fault_names(text: &str) -> Result<Vec<String>, String> {
    let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    text.split(',')
        .map(|name| match known.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(format!("{name}: no such fault; there are {}", known.join(", "))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Args>, String> {
        Args::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn names_are_checked() {
        let args =
            parse(&["--short", "--only", "killed,frozen", "--skip=frozen"]).unwrap().unwrap();
        assert!(args.extent.short && args.wants("killed"));
        assert!(!args.wants("frozen") && !args.wants("dropped"));
        assert!(parse(&["--only", "flood"]).unwrap_err().contains("there are dropped, "));
        assert!(parse(&["--only"]).is_err());
        assert_eq!(parse(&["--help"]), Ok(None));
    }
}
