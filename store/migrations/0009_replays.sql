-- A failed generation is run again once: a second replay, or a repeat of an unanswered one, would be paid for twice.
CREATE UNIQUE INDEX generations_replay ON store.generations (replay_of)
    WHERE replay_of IS NOT NULL AND status NOT IN ('failed', 'canceled');
