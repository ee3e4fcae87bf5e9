//! More of the host's services than anybody needs.

use futures::future::join_all;
use zotify_plugin_api::prelude::*;

/// The outcome of a command; none where this module does not know it.
pub(crate) async fn flood(cx: &Context, command: &str, argument: &str) -> Result<Option<String>> {
    let outcome = match command {
        "logs" => {
            for n in 0..20_000 {
                tracing::error!("line {n} {argument}");
            }
            "logged".into()
        }
        "prints" => {
            for n in 0..20_000 {
                println!("line {n}");
                eprintln!("line {n}");
            }
            "printed".into()
        }
        "events" => refused(join_all((0..200).map(|_| cx.library_changed(None))).await),
        "store" => store(cx).await?,
        "stores" => {
            let value = "x".repeat(128 << 10);
            let keys: Vec<_> = (0..400).map(|n| format!("many-{}", n % 4)).collect();
            refused(
                join_all(keys.iter().map(|key| {
                    let (kv, value) = (cx.kv(), &value);
                    async move { kv.put(key, value).await }
                }))
                .await,
            )
        }
        "fetches" => refused(join_all((0..400).map(|_| cx.http().get(argument).send())).await),
        "sleeps" => {
            let long = std::time::Duration::from_secs(3600);
            refused(
                join_all((0..400).map(|_| {
                    let clock = cx.clock();
                    async move { clock.sleep(long).await }
                }))
                .await,
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(outcome))
}

/// Stores until it is refused; says after how much and why.
async fn store(cx: &Context) -> Result<String> {
    // Just below the largest value that there may be; its frame of MessagePack counts as well.
    let value = "x".repeat(255 << 10);
    for n in 0..1000 {
        if let Err(error) = cx.kv().put(&format!("{n}"), &value).await {
            return Ok(format!("{n} {}", error.code.unwrap_or(error.message)));
        }
    }
    Ok("1000".into())
}

/// How many of the answers are errors, and of which kinds.
fn refused<T>(answers: Vec<Result<T>>) -> String {
    let mut kinds: Vec<_> = answers.iter().filter_map(|a| a.as_ref().err()).map(|e| format!("{:?}", e.kind)).collect();
    let count = kinds.len();
    kinds.sort();
    kinds.dedup();
    format!("{count} {}", kinds.join(","))
}
