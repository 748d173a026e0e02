-- Reports read the days of one user, or of everyone: the primary key begins with the day, and has all users in it.
CREATE INDEX daily_aggregates_user ON daily_aggregates (user_id, day);
