//! Statements whose shape depends on the request. Values are always bound, never written into the text.

use sqlx::{Any, AnyConnection, AssertSqlSafe, Database as _, Encode, Sqlite, Type, any::AnyArguments, query::Query};

/// A statement in the making.
pub struct Sql {
    text: String,
    bound: usize,
    args: AnyArguments,
    /// Placeholders are `?` instead of `$1`.
    bare: bool,
}

impl Sql {
    /// Starts with a piece of SQL.
    pub fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), bound: 0, args: AnyArguments::default(), bare: false }
    }

    /// Starts a statement with many values. SQLite takes `$1` for a name and looks each one up in a list of all before
    /// it, which for thousands takes longer than the statement itself; `?` has no name.
    pub fn many(db: &AnyConnection, text: &'static str) -> Self {
        Self { bare: db.backend_name() == Sqlite::NAME, ..Self::new(text) }
    }

    /// Adds a piece of SQL. Only literals: what comes from outside is bound.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds an integer as it is, where the planner should see it (limits, row numbers).
    pub fn push_int(&mut self, value: i64) -> &mut Self {
        self.text.push_str(&value.to_string());
        self
    }

    /// Adds a placeholder with its value.
    pub fn bind<T: for<'q> Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        use sqlx::Arguments as _;
        self.bound += 1;
        if self.bare {
            self.text.push('?');
        } else {
            self.text.push('$');
            self.text.push_str(&self.bound.to_string());
        }
        if let Err(error) = self.args.add(value) {
            // Texts and integers always encode; without its value the statement fails as a whole.
            tracing::error!("a value cannot be bound: {error}");
        }
        self
    }

    /// Adds placeholders in parentheses: `($1,$2)`. An empty list matches nothing.
    pub fn bind_list<T: for<'q> Encode<'q, Any> + Type<Any>>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.text.push('(');
        let mut any = false;
        for value in values {
            if any {
                self.text.push(',');
            }
            any = true;
            self.bind(value);
        }
        self.text.push_str(if any { ")" } else { "NULL)" });
        self
    }

    /// Adds the number of an account's library.
    pub fn push_library(&mut self, account: &str) -> &mut Self {
        self.push("(SELECT id FROM libraries WHERE account_id = ").bind(account.to_owned()).push(")")
    }

    /// Adds the numbers of accounts' libraries, in parentheses.
    pub fn push_libraries(&mut self, accounts: &[String]) -> &mut Self {
        self.push("(SELECT id FROM libraries WHERE account_id IN ").bind_list(accounts.iter().cloned()).push(")")
    }

    /// Asks how the database would go about it.
    #[cfg(test)]
    pub fn explain(mut self) -> Self {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        self
    }

    /// The finished statement.
    pub fn query(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.args)
    }
}
