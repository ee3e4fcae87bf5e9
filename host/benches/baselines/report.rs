//! One line for each measurement: what it is, how much, beside what, the goal, and how far it is from it.

use std::fmt;

/// A goal for a figure.
#[derive(Clone, Copy)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Printed for comparison.
    None,
}

impl Goal {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(goal) => Some(value <= goal),
            Self::AtLeast(goal) => Some(value >= goal),
            Self::None => None,
        }
    }

    /// How much of the goal is used up: above 1 it is missed.
    fn share(self, value: f64) -> f64 {
        match self {
            Self::AtMost(goal) => value / goal,
            Self::AtLeast(goal) => goal / value,
            Self::None => 0.0,
        }
    }
}

/// A number as people read it.
pub struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            n if n >= 1000.0 => write!(f, "{:.0}", self.0),
            n if n >= 10.0 => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.2}", self.0),
        }
    }
}

/// Prints rows and counts the goals.
pub struct Report {
    met: usize,
    missed: Vec<String>,
}

impl Report {
    pub fn new() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("load before: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
        Self { met: 0, missed: Vec::new() }
    }

    pub fn group(&mut self, name: &str) {
        println!("\n{name}");
    }

    /// A figure with its unit and goal.
    pub fn row(&mut self, what: &str, value: f64, unit: &str, goal: Goal) {
        let verdict = match goal.met(value) {
            Some(true) => "met".to_owned(),
            Some(false) => format!("missed, ×{}", Short(goal.share(value))),
            None => String::new(),
        };
        let bound = match goal {
            Goal::AtMost(bound) => format!("≤ {}", Short(bound)),
            Goal::AtLeast(bound) => format!("≥ {}", Short(bound)),
            Goal::None => String::new(),
        };
        println!("  {what:<58} {:>10} {unit:<14} {bound:>10}  {verdict}", Short(value).to_string());
        match goal.met(value) {
            Some(true) => self.met += 1,
            Some(false) => self.missed.push(what.to_owned()),
            None => {}
        }
    }

    /// A sentence beside the rows.
    pub fn note(&mut self, text: &str) {
        println!("  {text}");
    }

    pub fn end(self) {
        println!("\n{} goals met, {} missed", self.met, self.missed.len());
        for what in self.missed {
            println!("  missed: {what}");
        }
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
