//! A dependency that tries everything, whether it is granted or not.

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../wit",
        world: "dependency",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Dependency;
    export!(Dependency);
}

use bindings::exports::test::dependency::{api, greeting};
use http_body_util::BodyExt;

struct Dependency;

impl api::Guest for Dependency {
    async fn variable(name: String) -> String {
        match spin_sdk::variables::get(&name).await {
            Ok(value) => value,
            Err(e) => format!("error: {e:?}"),
        }
    }

    async fn fetch(url: String) -> String {
        match spin_sdk::http::get(&url).await {
            Ok(response) => match response.into_body().collect().await {
                Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
                Err(e) => format!("error: {e:?}"),
            },
            Err(e) => format!("error: {e:?}"),
        }
    }

    async fn database(name: String) -> String {
        match spin_sdk::sqlite::Connection::open(&name).await {
            Ok(_) => "opened".to_owned(),
            Err(e) => format!("error: {e:?}"),
        }
    }

    fn environment(name: String) -> String {
        std::env::var(name).unwrap_or_else(|e| format!("error: {e:?}"))
    }
}

impl greeting::Guest for Dependency {
    async fn greet() -> String {
        "hello".to_owned()
    }
}
