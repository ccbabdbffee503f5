"""Alembic's entry: runs the revisions on the connection that the store hands over, in the store's transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True, transactional_ddl=False)
context.run_migrations()
