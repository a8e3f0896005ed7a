//! The one [`Engine`] of the process: what Wasm may use, and how guests get their memory.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::error::RuntimeError;

/// Guests that live at the same time, whatever their plugin. More wait their turn ([`crate::call`]).
pub(crate) const GUESTS: u32 = 256;

/// Memories of one component. A component usually has one.
const MEMORIES: u32 = 4;

/// Tables of one component. What is linked from many libraries (a Python guest) has several.
const TABLES: u32 = 16;

/// Core instances of one component: its modules, and the adapters between them.
const CORE_INSTANCES: u32 = 512;

/// Elements of one table, in functions. A Python interpreter has some ten thousand.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// Stack of a guest, in bytes. The fibre it runs on has twice that, for the host functions that it calls.
const STACK: usize = 1 << 20;

/// Memory that a slot keeps between guests, in bytes: what is dirty is written over instead of being given back to the
/// kernel, which spares a guest its page faults. Holds for the 100 slots that were used last.
const KEEP_RESIDENT: usize = 2 << 20;

/// Address space of one memory, in bytes, where there are no pools.
const SMALL_RESERVATION: u64 = 16 << 20;

/// The engine, and whether it has pools.
pub(crate) struct Built {
    pub engine: Engine,
    pub pooled: bool,
}

/// Build the engine: with pooled memory where the address space can be had, else with memory on demand, which makes
/// calls several times slower and is otherwise the same.
pub(crate) fn build() -> Result<Built, RuntimeError> {
    let refused = match Engine::new(config().allocation_strategy(InstanceAllocationStrategy::Pooling(pools()))) {
        Ok(engine) => return Ok(Built { engine, pooled: true }),
        Err(refused) => refused,
    };
    tracing::warn!(
        reason = %format_args!("{refused:#}"),
        "no address space for pooled guest memory (is `ulimit -v` set?); calls will be slower"
    );
    // Where address space is short, a memory may not reserve its 4 GiB either: it moves when it grows.
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
        .memory_reservation(SMALL_RESERVATION)
        .memory_guard_size(64 << 10)
        .memory_reservation_for_growth(SMALL_RESERVATION);
    Engine::new(&config)
        .map(|engine| Built { engine, pooled: false })
        .map_err(|e| RuntimeError::Engine(format!("{e:#}")))
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK)
        // What no guest of the four toolchains needs is off: less to go wrong in the compiler.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .concurrency_support(false)
        // A trap is reported with the guest's own words, not with addresses: smaller files in the cache.
        .generate_address_map(false)
        // The names in a backtrace are the guest's choice, and go to the operator's log and terminal.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false);
    config
}

fn pools() -> PoolingAllocationConfig {
    let mut pools = PoolingAllocationConfig::new();
    pools
        .total_component_instances(GUESTS)
        .total_stacks(GUESTS)
        .total_core_instances(GUESTS * CORE_INSTANCES)
        .total_memories(GUESTS * MEMORIES)
        .total_tables(GUESTS * TABLES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(TABLE_ELEMENTS)
        // One call at a time needs one slot: a hot slot is reused before a cold one is touched.
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pools
}
