//! The host side of the interfaces which Spin adds to WASI.

#![allow(missing_docs, reason = "generated")]

use crate::instance::StoreData;

wasmtime::component::bindgen!({
    inline: r#"
        package spin:sqlite@3.1.0;

        interface sqlite {
            resource connection {
                open: static func(database: string) -> result<connection, error>;
                open-async: static async func(database: string) -> result<connection, error>;
                execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                execute-async: async func(statement: string, parameters: list<value>)
                    -> result<tuple<list<string>, stream<row-result>, future<result<_, error>>>, error>;
                last-insert-rowid: func() -> s64;
                last-insert-rowid-async: async func() -> s64;
                changes: func() -> u64;
                changes-async: async func() -> u64;
            }

            variant error {
                no-such-database,
                access-denied,
                invalid-connection,
                database-full,
                io(string),
            }

            record query-result {
                columns: list<string>,
                rows: list<row-result>,
            }

            record row-result {
                values: list<value>,
            }

            variant value {
                integer(s64),
                real(f64),
                text(string),
                blob(list<u8>),
                null,
            }
        }

        package spin:variables@3.0.0 {
            interface variables {
                get: async func(name: string) -> result<string, error>;

                variant error {
                    invalid-name(string),
                    undefined(string),
                    provider(string),
                    other(string),
                }
            }
        }

        world capabilities {
            import sqlite;
            import spin:variables/variables@3.0.0;
        }
    "#,
    world: "capabilities",
    imports: { default: async | trappable },
    with: {
        "spin:sqlite/sqlite.connection": crate::sqlite::GuestConnection,
    },
});

/// Names [`StoreData`] to the generated code.
pub struct Host;

impl wasmtime::component::HasData for Host {
    type Data<'a> = &'a mut StoreData;
}
