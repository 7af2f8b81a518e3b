//! What can be wrong with what is asked to run.

/// What is wrong with a trace, a generator or a plant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FluidError {
    /// A line of a trace.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The trace's name.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A generator.
    #[error("generator `{spec}`: {problem}")]
    Generator {
        /// The part that is wrong.
        spec: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A plant, or one of its figures.
    #[error("plant: {problem}")]
    Plant {
        /// What is wrong, and what was expected.
        problem: String,
    },
}
