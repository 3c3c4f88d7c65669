-- What a switch found of the old system's tmux sessions, and what became of each: a list, as JSON.

ALTER TABLE cutovers ADD COLUMN sessions TEXT;
