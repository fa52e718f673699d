//! The schema's versions, applied by whoever comes first.

use crate::{Database, DatabaseError, StoreError, Value};

// Made by build.rs from migrations/*.sql: how many they are, their text, compressed, and what
// separates its parts.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The schema version that this code reads and writes.
pub const SCHEMA_VERSION: i64 = COUNT;

/// The migrations, numbered from 1, with [`RECORD`] between them; each is its name and its statements
/// with [`UNIT`] between them.
fn migrations() -> Result<String, StoreError> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(COMPRESSED, TEXT_BYTES)
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or_else(|| StoreError::Corrupt {
            column: "migrations",
            value: "the build's own text".to_owned(),
        })
}

fn name_and_statements(migration: &str) -> (&str, impl Iterator<Item = &str>) {
    let (name, statements) = migration.split_once(UNIT).unwrap_or((migration, ""));
    (name, statements.split(UNIT))
}

/// How often a lock of another process is waited out, each wait being the database's own
/// busy time-out (at least one try's worth of work elsewhere).
const LOCK_ATTEMPTS: u32 = 40;

/// Brings the schema up to [`SCHEMA_VERSION`]. Safe when many processes start at once: one applies,
/// the others wait and find it done. A process that dies half-way leaves nothing.
///
/// `database` must be a connection of its own: a transaction runs on it. `pause` waits a moment
/// between attempts.
///
/// # Errors
/// [`StoreError::SchemaTooNew`] for a database of a newer service, or the database's own failure.
pub async fn migrate<D, P>(database: &D, pause: impl Fn() -> P) -> Result<(), StoreError>
where
    D: Database,
    P: Future<Output = ()>,
{
    let mut attempt = 0;
    loop {
        match try_migrate(database).await {
            Err(StoreError::Database(error)) if error.is_busy() && attempt < LOCK_ATTEMPTS => {
                attempt += 1;
                pause().await;
            }
            result => return result,
        }
    }
}

async fn try_migrate<D: Database>(database: &D) -> Result<(), StoreError> {
    match applied_version(database).await {
        Ok(SCHEMA_VERSION) => return Ok(()),
        Ok(found) if found > SCHEMA_VERSION => {
            return Err(StoreError::SchemaTooNew {
                found,
                known: SCHEMA_VERSION,
            });
        }
        Ok(_) => {}
        Err(error) if error.violates("no such table") => {
            // Readers and the writer then do not block each other; the setting stays in the file.
            // A libSQL server refuses it and needs it not.
            let _ = database
                .query("PRAGMA journal_mode = WAL", Vec::new())
                .await;
        }
        Err(error) => return Err(error.into()),
    }
    database.query("BEGIN IMMEDIATE", Vec::new()).await?;
    match apply(database).await {
        Ok(()) => {
            database.query("COMMIT", Vec::new()).await?;
            Ok(())
        }
        Err(error) => {
            // The first error tells what happened; a failed rollback ends with the connection.
            let _ = database.query("ROLLBACK", Vec::new()).await;
            Err(error)
        }
    }
}

async fn applied_version<D: Database>(database: &D) -> Result<i64, DatabaseError> {
    let rows = database
        .query(
            "SELECT COALESCE(MAX(version), 0) FROM schema_migrations",
            Vec::new(),
        )
        .await?;
    match rows.first().and_then(|row| row.0.first()) {
        Some(Value::Integer(version)) => Ok(*version),
        _ => Err(DatabaseError("schema_migrations cannot be read".into())),
    }
}

async fn apply<D: Database>(database: &D) -> Result<(), StoreError> {
    database
        .query(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                version INTEGER PRIMARY KEY,
                name VARCHAR NOT NULL,
                applied_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
            )",
            Vec::new(),
        )
        .await?;
    // Another process may have been first while this one waited for the lock.
    let found = applied_version(database).await?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::SchemaTooNew {
            found,
            known: SCHEMA_VERSION,
        });
    }
    for (version, migration) in (1i64..)
        .zip(migrations()?.split(RECORD))
        .filter(|(version, _)| *version > found)
    {
        let (name, statements) = name_and_statements(migration);
        for statement in statements {
            database.query(statement, Vec::new()).await?;
        }
        database
            .query(
                "INSERT INTO schema_migrations (version, name) VALUES (?, ?)",
                vec![version.into(), name.into()],
            )
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeDatabase;
    use futures::executor::block_on;

    async fn no_pause() {}

    #[test]
    fn migrations_apply_once_and_again_change_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        let schema = || {
            block_on(database.query("SELECT name, sql FROM sqlite_master ORDER BY name", vec![]))
                .unwrap()
        };
        block_on(migrate(&database, no_pause)).unwrap();
        let first = schema();
        assert!(first.len() > 20);
        block_on(migrate(&database, no_pause)).unwrap();
        assert_eq!(schema(), first);
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        block_on(migrate(&database, no_pause)).unwrap();
        block_on(database.query(
            "INSERT INTO schema_migrations (version, name) VALUES (99, 'future')",
            vec![],
        ))
        .unwrap();
        let error = block_on(migrate(&database, no_pause)).unwrap_err();
        assert_eq!(
            error,
            StoreError::SchemaTooNew {
                found: 99,
                known: SCHEMA_VERSION
            }
        );
        assert!(error.to_string().contains("99"));
    }

    #[test]
    fn a_failed_migration_leaves_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        // A table that is in the way makes the migration fail half-way.
        block_on(database.query("CREATE TABLE payments (x)", vec![])).unwrap();
        assert!(block_on(migrate(&database, no_pause)).is_err());
        let tables = block_on(database.query(
            "SELECT name FROM sqlite_master WHERE type = 'table'",
            vec![],
        ))
        .unwrap();
        assert_eq!(tables.len(), 1);
    }

    #[test]
    fn ten_connections_migrating_at_once_agree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let threads: Vec<_> = (0..10)
            .map(|_| {
                let path = file.path().to_owned();
                std::thread::spawn(move || {
                    let database = NativeDatabase::open(&path).unwrap();
                    block_on(migrate(&database, || async {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }))
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
        let database = NativeDatabase::open(file.path()).unwrap();
        let rows =
            block_on(database.query("SELECT COUNT(*) FROM schema_migrations", vec![])).unwrap();
        assert_eq!(rows[0].0[0], Value::Integer(SCHEMA_VERSION));
    }

    #[test]
    fn a_database_of_before_the_ledger_gets_its_balances_from_the_chain() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        let run = |sql: &str| block_on(database.query(sql, vec![])).unwrap();
        let migrations = migrations().unwrap();
        let (_, statements) = name_and_statements(migrations.split(RECORD).next().unwrap());
        for statement in statements {
            run(statement);
        }
        run(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL,
             applied_at INTEGER NOT NULL DEFAULT 0)",
        );
        run("INSERT INTO schema_migrations (version, name) VALUES (1, 'initial')");
        run("INSERT INTO nodes (node_id, created_at, updated_at) VALUES ('n', 1, 1)");
        run(
            "INSERT INTO wallets (node_id, wallet_name, address, balance, created_at, request_hash)
             VALUES ('n', 'w', 'own', 12345, 1, '')",
        );
        run(
            "INSERT INTO payments (node_id, wallet_id, request_hash, recipient_address, amount, fee,
                change_amount, change_address, inputs, lease_until, created_at, updated_at, window_seconds, window_payments)
             VALUES ('n', 1, '', 'other', 60, 10, 30, 'own', '[{\"txid\":\"coin\",\"vout\":0,\"value\":100}]',
                1, 1, 1, 1, 9)",
        );
        run("UPDATE payments SET state = 'signed', txid = 'paid'");
        run("UPDATE payments SET state = 'broadcast'");
        block_on(migrate(&database, no_pause)).unwrap();
        let state = || {
            run("SELECT w.balance, w.confirmed, w.pending, w.reserved, p.state FROM wallets AS w, payments AS p")
                .remove(0)
                .0
        };
        let expect = |florins: [i64; 4], payment: &str| {
            let mut expected: Vec<Value> = florins.map(Value::Integer).into();
            expected.push(payment.into());
            assert_eq!(state(), expected);
        };
        expect([0, 0, 0, 0], "broadcast");
        // The coin, which the payment has taken, and then the payment.
        run(
            "INSERT INTO apply_blocks (base_hash, blocks, payments, outputs, inputs, required, maturity, at) VALUES (
             NULL, '[{\"height\":1,\"hash\":\"a\",\"time\":1}]', '[]',
             '[[\"coin\",0,\"own\",100,0,1,\"a\",1]]', '[]', 1, 7, 1)",
        );
        expect([0, 100, 0, 100], "broadcast");
        run(
            "INSERT INTO apply_blocks (base_hash, blocks, payments, outputs, inputs, required, maturity, at) VALUES (
             'a', '[{\"height\":2,\"hash\":\"b\",\"time\":2}]', '[[1,\"paid\",2,\"b\"]]',
             '[[\"paid\",1,\"own\",30,0,2,\"b\",2]]', '[[\"coin\",0,\"paid\",\"other\",2]]', 1, 7, 2)",
        );
        expect([30, 30, 0, 0], "confirmed");
        let store = crate::Store::new(database);
        assert_eq!(block_on(store.recount()).unwrap(), Vec::<i64>::new());
    }

    #[test]
    fn a_database_of_before_the_monitoring_keeps_its_payments_and_is_watched_from_now_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        let run = |sql: &str| block_on(database.query(sql, vec![])).unwrap();
        let lines =
            |sql: &str| -> Vec<Vec<Value>> { run(sql).into_iter().map(|row| row.0).collect() };
        run(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL,
             applied_at INTEGER NOT NULL DEFAULT 0)",
        );
        for (version, migration) in (1..).zip(migrations().unwrap().split(RECORD).take(2)) {
            let (name, statements) = name_and_statements(migration);
            for statement in statements {
                run(statement);
            }
            run(&format!(
                "INSERT INTO schema_migrations (version, name) VALUES ({version}, '{name}')"
            ));
        }
        run("INSERT INTO nodes (node_id, created_at, updated_at) VALUES ('n', 1, 1)");
        run(
            "INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
             VALUES ('n', 'w', 'own', 1, '')",
        );
        let ways: [&[&str]; 5] = [
            &[],
            &["signed"],
            &["signed", "broadcast"],
            &["signed", "broadcast", "confirmed"],
            &["failed"],
        ];
        for (id, way) in (1..).zip(ways) {
            run(&format!(
                "INSERT INTO outputs (txid, vout, wallet_id, address, value, state, height, settled, cause, changed_at)
                 VALUES ('coin-{id}', 0, 1, 'own', 100, 'confirmed', 1, 1, 'receive', 1)"
            ));
            run(&format!(
                "INSERT INTO payments (id, node_id, wallet_id, request_hash, recipient_address, amount, fee,
                    change_amount, change_address, inputs, lease_until, created_at, updated_at, window_seconds,
                    window_payments)
                 VALUES ({id}, 'n', 1, '', 'other', 60, 10, 30, 'own',
                    '[{{\"txid\":\"coin-{id}\",\"vout\":0,\"value\":100}}]', 1, 1, 1, 1, 1000)"
            ));
            for state in way {
                run(&format!(
                    "UPDATE payments SET state = '{state}', txid = 'paid-{id}' WHERE id = {id}"
                ));
            }
        }
        let all = "SELECT id, payment_id, node_id, inputs, state, txid, created_at FROM payments ORDER BY id";
        let money = "SELECT balance, confirmed, pending, reserved FROM wallets";
        let before = (lines(all), lines(money), lines("SELECT * FROM events"));
        block_on(migrate(&database, no_pause)).unwrap();
        assert_eq!(
            (lines(all), lines(money), lines("SELECT * FROM events")),
            before
        );
        assert_eq!(
            lines("SELECT stage, review FROM payments ORDER BY id"),
            ["reserved", "signed", "broadcast", "confirmed", "failed"]
                .map(|state| vec![state.into(), "".into()])
        );
        // What happened before is nobody's alert.
        run("INSERT INTO watch_events (most, at) VALUES (500, 2)");
        assert_eq!(lines("SELECT * FROM alerts"), Vec::<Vec<Value>>::new());
        // What was reserved before is signed as ever.
        run("UPDATE payments SET state = 'signed', txid = 'paid-1' WHERE id = 1");
        let store = crate::Store::new(database);
        assert_eq!(block_on(store.recount()).unwrap(), Vec::<i64>::new());
    }
}
