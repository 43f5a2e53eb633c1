//! The functions on a cluster: Ballista's scheduler and executors, which have them registered.
//!
//! A query is cut into tasks by partitions; executors ask the scheduler for them and hand back their results. Where one is lost, its tasks go to the others. Model files must lie at the same path on every machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::error::{BallistaError, Result};
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::execution::{FunctionRegistry as _, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;

/// Seconds between two signs of life of an executor.
const HEARTBEAT: u64 = 2;

/// A session state with all functions.
fn state(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    for function in functions() {
        state.register_udf(function)?;
    }
    Ok(state)
}

/// A session whose queries run on the cluster of the scheduler at `url`, such as `df://localhost:50050`.
///
/// # Errors
/// If the address is none.
pub async fn session(
    url: &str,
    partitions: Option<usize>,
) -> datafusion::error::Result<SessionContext> {
    let mut config = SessionConfig::new_with_ballista();
    if let Some(partitions) = partitions {
        config = config.with_target_partitions(partitions);
    }
    let session = SessionStateBuilder::new().with_config(config).with_default_features().build();
    // What was registered before does not outlive the change to a session of the cluster.
    let session = SessionContext::remote_with_state(url, session).await?;
    crate::register(&session);
    Ok(session)
}

/// Runs a scheduler until it is stopped. An executor that has not been heard of for `timeout` seconds counts as lost.
///
/// # Errors
/// If it cannot listen at the address.
pub async fn schedule(address: SocketAddr, timeout: u64) -> Result<()> {
    let config = SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        executor_timeout_seconds: timeout,
        no_executors_grace_period_seconds: timeout.max(60),
        expire_dead_executor_interval_seconds: 1,
        override_session_builder: Some(Arc::new(state)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    start_server(cluster, address, Arc::new(config)).await
}

/// Where an executor works.
#[derive(Clone, Debug)]
pub struct Post {
    /// Host and port of the scheduler.
    pub scheduler: (String, u16),
    /// Where others fetch results, and the scheduler sends words.
    pub ports: [u16; 2],
    /// The address that it listens at, and the name that others reach it by.
    pub host: String,
    /// Tasks at once.
    pub cores: usize,
    /// Where results in between are kept.
    pub work: Option<PathBuf>,
}

/// Runs an executor until it is stopped.
///
/// # Errors
/// If it cannot listen at its ports, or never reaches the scheduler.
pub async fn execute(post: Post) -> Result<()> {
    let mut registry = BallistaFunctionRegistry::default();
    for function in functions() {
        registry.scalar_functions.insert(function.name().to_owned(), function);
    }
    let work = post.work.map(|path| path.into_os_string().into_string()).transpose();
    let work_dir = work
        .map_err(|path| BallistaError::Configuration(format!("{} is not UTF-8", path.display())))?;
    let config = ExecutorProcessConfig {
        bind_host: post.host.clone(),
        external_host: Some(post.host),
        port: post.ports[0],
        grpc_port: post.ports[1],
        scheduler_host: post.scheduler.0,
        scheduler_port: post.scheduler.1,
        scheduler_connect_timeout_seconds: 30,
        vcores: post.cores,
        work_dir,
        executor_heartbeat_interval_seconds: HEARTBEAT,
        override_function_registry: Some(Arc::new(registry)),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await
}
