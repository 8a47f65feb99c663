//! Runs the whole-cluster simulation: many seeds, or one seed with its trace.
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let trace = if std::env::args().any(|a| a == "--trace") { sim::Trace::Kept } else { sim::Trace::Off };
    let began = std::time::Instant::now();
    for seed in args[0]..args[1] {
        let (ran, kept) = sim::whole::run(seed, trace);
        print!("{}", ran.trace);
        println!("{seed} {} {kept:?} {:?}", ran.events, began.elapsed());
    }
}
