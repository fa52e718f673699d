//! Generated from wit/: everything any endpoint imports. Unused imports leave no trace in a
//! component; a test compares each with its world in wit/worlds.wit.

#![allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]

spin_sdk::wit_bindgen::generate!({
    inline: "
        package duxnet:edge;
        world edge {
            import duxnet:chain/reader@1.0.0;
            import duxnet:chain/keys@1.0.0;
            import duxnet:chain/signer@1.0.0;
            import duxnet:chain/relay@1.0.0;
            import duxnet:chain/admin@1.0.0;
            import duxnet:config/settings@1.0.0;
            import duxnet:config/operator@1.0.0;
            import duxnet:config/registry@1.0.0;
            import duxnet:config/peers@1.0.0;
            import duxnet:config/notifications@1.0.0;
            import duxnet:identity/registry@1.0.0;
            import duxnet:identity/webhooks@1.0.0;
            import spin:sqlite/sqlite@3.1.0;
        }
    ",
    path: [
        "../../../wit/chain",
        "../../../wit/config",
        "../../../wit/identity",
        "../../../wit/deps/spin-sqlite@3.1.0",
    ],
    world: "duxnet:edge/edge",
    runtime_path: "spin_sdk::wit_bindgen::rt",
    generate_all,
});
