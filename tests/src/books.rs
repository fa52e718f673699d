//! The service's database, read from outside.

use crate::{Chain, Host};
use duxnet_store::Store;
use duxnet_store::native::NativeDatabase;
use futures::executor::block_on;
use rusqlite::{Connection, OpenFlags};

/// The database file of a host.
pub struct Books(Connection);

impl Books {
    pub fn open(host: &Host) -> Books {
        let file = host.database_file();
        let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        connection
            .busy_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        Books(connection)
    }

    /// For whatever a test wants to look at, or to break.
    pub fn connection(&self) -> &Connection {
        &self.0
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.0.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub fn texts(&self, sql: &str) -> Vec<String> {
        let mut statement = self.0.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Payments in this state.
    pub fn payments(&self, state: &str) -> i64 {
        self.0
            .query_row(
                "SELECT COUNT(*) FROM payments WHERE state = ?",
                [state],
                |row| row.get(0),
            )
            .unwrap()
    }

    /// Makes the leases of interrupted requests run out: what they left is anyone's now.
    pub fn expire_leases(&self) {
        self.0
            .execute("UPDATE payments SET lease_until = lease_until - 120", [])
            .unwrap();
    }

    /// Every wallet's balance is what its outputs and its movements add up to.
    pub fn assert_recount(&self) {
        let file = self.0.path().expect("the database is a file");
        let database = NativeDatabase::open(file.as_ref()).unwrap();
        let wrong = block_on(Store::new(database).recount()).unwrap();
        assert_eq!(wrong, Vec::<i64>::new(), "wallets whose recount differs");
    }

    /// Takes away the addresses that were made beforehand: the next one is made when it is asked for.
    pub fn empty_pool(&self) {
        self.0.execute("DELETE FROM address_pool", []).unwrap();
    }

    pub fn addresses_of(&self, node_id: &str) -> Vec<String> {
        let sql = "SELECT addresses.address FROM addresses JOIN wallets ON wallets.id = wallet_id WHERE node_id = ?";
        let mut statement = self.0.prepare(sql).unwrap();
        let rows = statement.query_map([node_id], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Database and chain agree to the florin: what came in, less what confirmed or pending
    /// payments took, is what the chain says the wallet's addresses hold; and no coin is in two
    /// payments.
    pub fn assert_agree(&self, chain: &Chain, node_id: &str, received_florins: u64) {
        let spent: i64 = self
            .0
            .query_row(
                "SELECT COALESCE(SUM(amount + fee), 0) FROM payments
                 WHERE node_id = ? AND state IN ('signed', 'broadcast', 'confirmed')",
                [node_id],
                |row| row.get(0),
            )
            .unwrap();
        let on_chain = chain.unspent_florins(&self.addresses_of(node_id));
        assert_eq!(
            on_chain,
            received_florins - spent as u64,
            "the chain and the books of {node_id} differ"
        );
        let twice = self.count(
            "SELECT COUNT(*) FROM (SELECT 1 FROM payments, json_each(inputs)
             WHERE state <> 'failed' GROUP BY value ->> 'txid', value ->> 'vout' HAVING COUNT(*) > 1)",
        );
        assert_eq!(twice, 0, "a coin is in two payments");
    }
}
