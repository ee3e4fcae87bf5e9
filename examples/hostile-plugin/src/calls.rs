//! Calls that do not end as they should.

use std::{thread, time::Duration};

use zotify_plugin_api::prelude::*;

use crate::raw;

/// How the constructor misbehaves.
#[derive(Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    #[default]
    Well,
    Refuse,
    Panic,
    Abort,
    Hang,
}

impl Start {
    pub(crate) fn misbehave(&self) -> Result<()> {
        match self {
            Self::Well => Ok(()),
            Self::Refuse => Err(ProviderError::invalid("not\u{1b}[31m today")),
            Self::Panic => panic!("in the constructor"),
            Self::Abort => std::process::abort(),
            Self::Hang => block(),
        }
    }
}

/// The outcome of a command; none where this module does not know it.
pub(crate) async fn misbehave(cx: &Context, command: &str, argument: &str) -> Result<Option<String>> {
    let outcome = match command {
        "panic" => panic!("as asked"),
        "bomb" => std::panic::panic_any(PanicsOnDrop),
        "drop" => {
            let _held = PanicsOnDrop;
            "answered".into()
        }
        "wait" => futures::future::pending().await,
        "cancelled" => {
            let _held = PanicsOnDrop;
            futures::future::pending().await
        }
        "doubly" => {
            let _held = PanicsOnDrop;
            panic!("and once more while unwinding")
        }
        "block" => block(),
        "pause" => {
            thread::sleep(Duration::from_millis(argument.parse().map_err(ProviderError::internal)?));
            "went on".into()
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        "null" => raw::read_null().to_string(),
        "overflow" => overflow(0).to_string(),
        "devour" => devour().to_string(),
        "huge" => "x".repeat(2 << 20),
        "sleep" => {
            cx.clock().sleep(Duration::from_millis(argument.parse().map_err(ProviderError::internal)?)).await?;
            "slept".into()
        }
        _ => return Ok(None),
    };
    Ok(Some(outcome))
}

fn block() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Takes memory until there is none.
fn devour() -> usize {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        if all.len() > 1 << 20 {
            return all.len();
        }
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn overflow(n: u64) -> u64 {
    std::hint::black_box(overflow(n + 1)) + n
}

pub(crate) struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}
