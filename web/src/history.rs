//! Undo and redo: what was, what is, and what was taken back.

/// Steps that can be taken back.
const MOST: usize = 200;

/// A state with its past and, after an undo, its future.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History<T> {
    past: Vec<T>,
    present: T,
    future: Vec<T>,
}

impl<T: PartialEq> History<T> {
    /// Begins with a state.
    pub fn new(present: T) -> Self {
        Self { past: Vec::new(), present, future: Vec::new() }
    }

    /// What is.
    pub fn present(&self) -> &T {
        &self.present
    }

    /// Goes on to another state; what was taken back before is gone. The same state is no step.
    pub fn push(&mut self, next: T) {
        if next == self.present {
            return;
        }
        self.past.push(std::mem::replace(&mut self.present, next));
        if self.past.len() > MOST {
            self.past.remove(0);
        }
        self.future.clear();
    }

    /// Takes the last step back; `false` if there is none.
    pub fn undo(&mut self) -> bool {
        let Some(previous) = self.past.pop() else { return false };
        self.future.push(std::mem::replace(&mut self.present, previous));
        true
    }

    /// Takes the last undo back; `false` if there is none.
    pub fn redo(&mut self) -> bool {
        let Some(next) = self.future.pop() else { return false };
        self.past.push(std::mem::replace(&mut self.present, next));
        true
    }

    /// Whether there is something to take back.
    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// Whether something was taken back.
    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_back_and_made_again() {
        let mut history = History::new(1);
        assert!(!history.can_undo() && !history.undo() && !history.redo());
        history.push(2);
        history.push(3);
        assert!(history.undo() && history.undo());
        assert_eq!((*history.present(), history.can_undo(), history.can_redo()), (1, false, true));
        assert!(history.redo() && history.redo());
        assert_eq!((*history.present(), history.can_redo()), (3, false));
    }

    #[test]
    fn a_new_step_forgets_what_was_taken_back() {
        let mut history = History::new(1);
        history.push(2);
        history.undo();
        history.push(3);
        assert!(!history.redo());
        history.undo();
        assert_eq!(*history.present(), 1);
    }

    #[test]
    fn the_same_again_is_no_step() {
        let mut history = History::new(1);
        history.push(2);
        history.undo();
        history.push(1);
        assert!(!history.can_undo() && history.can_redo());
    }

    #[test]
    fn the_oldest_steps_are_forgotten() {
        let mut history = History::new(0);
        (1..=MOST + 5).for_each(|state| history.push(state));
        while history.undo() {}
        assert_eq!(*history.present(), 5);
    }
}
