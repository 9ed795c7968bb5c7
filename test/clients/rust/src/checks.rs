//! One line a check, as every client of this directory prints them.
use std::future::Future;

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Default)]
pub struct Checks {
    failed: bool,
}

impl Checks {
    pub async fn check(&mut self, name: &str, body: impl Future<Output = Outcome>) {
        match body.await {
            Ok(()) => println!("ok {name}"),
            Err(error) => {
                self.failed = true;
                let mut said = error.to_string();
                let mut cause = error.source();
                while let Some(inner) = cause {
                    said = format!("{said}: {inner}");
                    cause = inner.source();
                }
                println!("not ok {name}: {}", said.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }

    pub fn finish(self, version: &str) -> ! {
        println!("# version {version}");
        std::process::exit(i32::from(self.failed));
    }
}

pub fn same<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(format!("expected {expected:?}, got {actual:?}").into())
}

pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The locked version of a package.
pub fn locked(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    lock.split("[[package]]")
        .find(|part| part.contains(&format!("name = \"{package}\"\n")))
        .and_then(|part| part.split("version = \"").nth(1))
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("?")
        .to_owned()
}
