//! A devnet on its own: `cargo run -p devnet --example serve -- --block-interval 1s`.

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: devnet::Options,
}

#[tokio::main]
async fn main() -> Result<(), devnet::Error> {
    let running = devnet::Devnet::start(Arguments::parse().options).await?;
    println!("http://{}/", running.address());
    // Until the process is told to end; nothing is lost then.
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("{error}");
    }
    running.shutdown().await;
    Ok(())
}
