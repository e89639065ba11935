//! What a packet costs, beside its floor: `ninefold-bench forward`. Prints a table and writes it to `target/report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ninefold_loadtest::bench::forward;
use ninefold_loadtest::bench::wire::{self, FloorArguments, Plan};
use ninefold_loadtest::media::Camera;
use ninefold_loadtest::units;

/// Measures what Ninefold takes for a packet, beside what nobody can do without
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Where tables are written
    #[arg(long, default_value = "target/report", global = true)]
    report: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Packets in, sealed datagrams out, without sockets
    Forward {
        /// How many watch
        #[arg(long, value_delimiter = ',', default_value = "1,20,100,1000")]
        receivers: Vec<usize>,
    },
    /// The whole server with its sockets, on loopback
    Wire {
        /// How many watch
        #[arg(long, value_delimiter = ',', default_value = "20,100")]
        viewers: Vec<usize>,
        /// What they watch, in bits a second
        #[arg(long, default_value = "1500kbit", value_parser = units::bitrate)]
        bitrate: u64,
        /// How long it is measured
        #[arg(long, default_value = "10s", value_parser = units::duration)]
        duration: Duration,
        /// Threads of the server that have rooms
        #[arg(long, default_value_t = 1)]
        shards: usize,
        /// The server
        #[arg(long, default_value = "target/release/ninefold")]
        server: PathBuf,
    },
    /// What `wire` runs beside the server
    #[command(hide = true)]
    FloorOfWire(FloorArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (name, table) = match &arguments.bench {
        Bench::Forward { receivers } => ("forward", run_forward(receivers)),
        Bench::Wire { viewers, bitrate, duration, shards, server } => {
            let plan = |viewers: &usize| Plan {
                viewers: *viewers,
                camera: Camera { bitrate_bps: *bitrate as u32, ..forward::CAMERA },
                duration: *duration,
                shards: *shards,
            };
            ("wire", run_wire(server, viewers.iter().map(plan)))
        }
        Bench::FloorOfWire(floor) => {
            return match wire::run_floor(floor) {
                Ok(cost) => {
                    println!("{cost}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::from(2)
                }
            };
        }
    };
    let written = table.and_then(|table| {
        let path = arguments.report.join(format!("{name}.md"));
        std::fs::create_dir_all(&arguments.report).map_err(|error| format!("cannot make {}: {error}", arguments.report.display()))?;
        std::fs::write(&path, &table).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(table)
    });
    match written {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run_forward(receivers: &[usize]) -> Result<String, String> {
    let lines = receivers.iter().map(|count| forward::measure(*count)).collect::<Result<Vec<_>, _>>()?;
    Ok(forward::table(&lines))
}

fn run_wire(server: &Path, plans: impl Iterator<Item = Plan>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let lines = plans.map(|plan| runtime.block_on(wire::measure(server, &plan))).collect::<Result<Vec<_>, _>>()?;
    Ok(wire::table(&lines))
}
