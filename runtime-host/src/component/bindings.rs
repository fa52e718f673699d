//! The host side of the interfaces which Spin adds to WASI.

#![allow(missing_docs, reason = "generated")]

use crate::component::instance::StoreData;

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

        package spin:key-value@3.0.0 {
            interface key-value {
                resource store {
                    open: static async func(label: string) -> result<store, error>;
                    get: async func(key: string) -> result<option<list<u8>>, error>;
                    set: async func(key: string, value: list<u8>) -> result<_, error>;
                    delete: async func(key: string) -> result<_, error>;
                    exists: async func(key: string) -> result<bool, error>;
                    get-keys: async func() -> tuple<stream<string>, future<result<_, error>>>;
                }

                variant error {
                    store-table-full,
                    no-such-store,
                    access-denied,
                    other(string),
                }
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
            import spin:key-value/key-value@3.0.0;
            import spin:variables/variables@3.0.0;
        }
    "#,
    world: "capabilities",
    imports: { default: async | trappable },
    with: {
        "spin:key-value/key-value.store": crate::key_value::GuestStore,
        "spin:sqlite/sqlite.connection": crate::sqlite::GuestConnection,
    },
});

/// Names [`StoreData`] to the generated code.
pub struct Host;

impl wasmtime::component::HasData for Host {
    type Data<'a> = &'a mut StoreData;
}
