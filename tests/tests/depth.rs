//! Goal: no statement is too deep for the server. What its limits let through is planned and run on the stacks that its threads
//! have, and what they do not is refused with an error. Method: statements of every form that nests, as deep as the parser
//! takes them and deeper, through the port; a server whose stack overflows is gone, and the next statement finds nobody.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Instant;

use ebla_tests::server::Server;

/// A form of statement, of any depth.
type Form = fn(usize) -> String;

/// Forms whose depth the limits bound, and the largest depth that each limit lets through.
const FORMS: [(&str, Form, usize); 12] = [
    ("calls", |n| format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n)), 60),
    ("calls of three", |n| format!("SELECT {}1{}", "if(1, ".repeat(n), ", 2)".repeat(n)), 60),
    ("sum", |n| format!("SELECT 1{}", " + 1".repeat(n)), 120),
    ("sums of sums", |n| format!("SELECT {}1{}", "(".repeat(n), " + 1 + 1)".repeat(n)), 50),
    ("minus", |n| format!("SELECT {}1", "- ".repeat(n)), 60),
    ("not", |n| format!("SELECT {}1", "NOT ".repeat(n)), 60),
    ("is null", |n| format!("SELECT 1{}", " IS NULL".repeat(n)), 190),
    ("cases", |n| format!("SELECT {}1{}", "CASE WHEN ".repeat(n), " THEN 1 END".repeat(n)), 60),
    ("unions", |n| format!("{}SELECT 1{}", "(".repeat(n), ") UNION ALL SELECT 2".repeat(n)), 60),
    ("derived tables", |n| format!("SELECT * FROM {}(SELECT 1) x{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n)), 30),
    ("subqueries", |n| format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)), 7),
    ("exists", |n| format!("SELECT {}1{}", "EXISTS (SELECT ".repeat(n), ")".repeat(n)), 7),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_statement_takes_nobody_down() {
    let server = Server::start("depth").await;
    let mut client = server.client().await;
    for (name, form, deepest) in FORMS {
        let begun = Instant::now();
        let rows = client.try_query(&form(deepest)).await;
        println!("{name} of {deepest}: {:.1} s", begun.elapsed().as_secs_f64());
        rows.unwrap_or_else(|refused| panic!("{name} of {deepest} are refused: {}", refused.message));
        for deeper in [100, 199, 1_000] {
            let text = form(deeper.max(deepest + 1));
            // Answered or refused, but by a server that is still there.
            let _ = client.try_query(&text).await;
            assert_eq!(client.value("SELECT 1").await, "1", "after {name} of {deeper}");
        }
    }
}

/// Each level of subqueries is planned several times as often as the one around it, and a common table expression that names
/// another one twice is twice that.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_keep_the_planner_busy_for_ever_is_refused() {
    let server = Server::start("depth-effort").await;
    let mut client = server.client().await;
    let doubled: String = (1..40).map(|at| format!(", c{at} AS (SELECT 1 AS a FROM c{0} x, c{0} y)", at - 1)).collect();
    for text in [
        format!("SELECT {}1{}", "(SELECT ".repeat(12), ")".repeat(12)),
        format!("WITH c0 AS (SELECT 1 AS a){doubled} SELECT a FROM c39"),
    ] {
        let refused = client.refused(&text).await;
        assert!(refused.message.contains("too complex to be planned"), "{}", refused.message);
    }
}
