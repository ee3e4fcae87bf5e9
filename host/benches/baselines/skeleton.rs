//! The least that a server can do for the same answers: axum without a layer, sqlx without a check.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use sqlx::AnyPool;
use zotify_host::db::Db;

use crate::process::{Running, free_address};

/// The argument that makes this program the skeleton.
pub const COMMAND: &str = "skeleton";

/// A skeleton and its address.
pub struct Skeleton {
    pub process: Running,
    pub address: String,
}

impl Skeleton {
    /// Starts one on a database with a page of rows; answers when it serves.
    pub fn start(folder: &Path) -> Self {
        let address = free_address();
        let itself = std::env::current_exe().expect("this program has a path");
        let process = Command::new(itself)
            .args([COMMAND, &address])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("the skeleton starts");
        let skeleton = Self { process: Running(process), address };
        while std::net::TcpStream::connect(&skeleton.address).is_err() {
            std::thread::sleep(Duration::from_micros(200));
        }
        skeleton
    }
}

/// Serves until it is killed.
pub fn run(address: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let db = Db::connect("sqlite://skeleton.db").await.expect("a database");
        fill(&db).await.expect("rows");
        let router = Router::new()
            .route("/health", get(|| async { "{\"status\":\"ok\"}" }))
            .route("/row", get(row))
            .route("/page", get(page))
            .with_state(db.read().clone());
        axum::serve(listener, router).await.expect("it serves");
    });
}

/// Fifty rows of about as many bytes as a track of the host has.
async fn fill(db: &Db) -> sqlx::Result<()> {
    let mut tx = db.write().await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS rows (id BIGINT PRIMARY KEY, doc TEXT NOT NULL)").execute(&mut *tx).await?;
    for id in 0..50_i64 {
        let rest = "x".repeat(400);
        let doc =
            format!("{{\"uri\":\"local:track:{id:022}\",\"title\":\"A title of some words\",\"rest\":\"{rest}\"}}");
        let sql = "INSERT INTO rows (id, doc) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(id).bind(doc).execute(&mut *tx).await?;
    }
    tx.commit().await
}

async fn row(State(db): State<AnyPool>) -> impl IntoResponse {
    let doc: String =
        sqlx::query_scalar("SELECT doc FROM rows WHERE id = $1").bind(7_i64).fetch_one(&db).await.expect("a row");
    ([(header::CONTENT_TYPE, "application/json")], doc)
}

async fn page(State(db): State<AnyPool>) -> impl IntoResponse {
    let sql = "SELECT '[' || COALESCE(string_agg(doc, ',' ORDER BY id), '') || ']' FROM (SELECT id, doc FROM rows WHERE id >= $1 ORDER BY id LIMIT 50) r";
    let rows: String = sqlx::query_scalar(sql).bind(0_i64).fetch_one(&db).await.expect("a page");
    ([(header::CONTENT_TYPE, "application/json")], format!("{{\"data\":{rows}}}"))
}
