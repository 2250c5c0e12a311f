//! Words of fleet migrations: which way, in which order, how far.

use crate::text_enum::text_enum;

text_enum! {
    /// Which way a run goes.
    MigrationDirection {
        /// To newer versions.
        Up = "up",
        /// Back to older ones.
        Down = "down",
    }
}
text_enum! {
    /// Which schemas of a run are compared with their template as soon as they are migrated.
    MigrationVerify {
        /// Each of them.
        All = "all",
        /// Those that go first.
        Canaries = "canaries",
    }
}
text_enum! {
    /// Which schemas of a run come first.
    MigrationOrder {
        /// Those with the least bytes.
        Smallest = "smallest",
        /// Those that were made first.
        Oldest = "oldest",
        /// Any, and others in each run.
        Random = "random",
    }
}
text_enum! {
    /// What becomes of a run.
    MigrationRunState {
        /// Workers take part in it.
        Running = "running",
        /// Somebody asked it to stop for a while.
        Paused = "paused",
        /// It stopped by itself: too many schemas failed.
        Halted = "halted",
        /// Somebody ended it.
        Cancelled = "cancelled",
        /// Nothing is left to do.
        Done = "done",
    }
}
text_enum! {
    /// How far a run is.
    MigrationPhase {
        /// A few schemas go first.
        Canary = "canary",
        /// They are watched.
        Soak = "soak",
        /// All others follow.
        Fleet = "fleet",
    }
}
text_enum! {
    /// Where a run tries out what it would do, and leaves nothing behind.
    MigrationRehearsal {
        /// In a clone of each database, which is dropped afterwards.
        Clone = "clone",
        /// In the live schema, in a transaction that is rolled back.
        InPlace = "in_place",
    }
}
text_enum! {
    /// What came of a schema in a run.
    SchemaMigrationState {
        /// A worker has it.
        Running = "running",
        /// It is at the run's version.
        Done = "done",
        /// It is at a version before it, and whole.
        Failed = "failed",
        /// It was gone, or held back, by the time that a worker came to it.
        Skipped = "skipped",
    }
}
text_enum! {
    /// Why every schema is compared with its template.
    SweepCause {
        /// Somebody asked for it.
        Operator = "operator",
        /// It was time.
        Schedule = "schedule",
        /// A run was over.
        Run = "run",
    }
}
text_enum! {
    /// How far a sweep over schemas is.
    SweepState {
        /// It goes on.
        Running = "running",
        /// All were looked at.
        Done = "done",
    }
}
text_enum! {
    /// What a look at a schema found.
    SchemaCheckState {
        /// It is what its version's template is.
        Same = "same",
        /// Something is missing, additional or changed.
        Different = "different",
        /// Something is, and somebody has said of all of it that it is meant.
        Accepted = "accepted",
        /// It could not be told.
        Unreadable = "unreadable",
    }
}
