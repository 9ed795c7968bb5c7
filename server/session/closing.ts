import { encodeCloseComplete } from '../protocol/backend/complete.js';
import { encodeClose, type Close } from '../protocol/frontend/close.js';
import { UNMOVED } from './errors.js';
import type { SessionState } from './state.js';

/** Answers Close. */
export function close(state: SessionState, message: Close): Promise<void> | null {
  return message.target === 'statement' ? closeStatement(state, message) : closePortal(state, message);
}

function closeStatement(state: SessionState, message: Close): Promise<void> | null {
  const { prepared, unconfirmed, sinks, openRelay: relay } = state;
  const { name } = message;
  const closed = prepared.get(name);
  if (relay === null || closed === undefined || closed.backend === null)
    return closeOwn(state, () => prepared.delete(name));
  prepared.delete(name);
  relay.send(encodeClose(message), 'close', unconfirmed.close(name, closed, sinks.forward(UNMOVED)));
  return null;
}

function closePortal(state: SessionState, message: Close): Promise<void> | null {
  const { portals, sinks, openRelay: relay } = state;
  const { name } = message;
  if (relay === null || portals.get(name)?.kind === 'local')
    return closeOwn(state, () => portals.delete(name));
  portals.delete(name);
  relay.send(encodeClose(message), 'close', sinks.forward(UNMOVED));
  return null;
}

function closeOwn(state: SessionState, forget: () => void): Promise<void> | null {
  return state.ownTurn(() => {
    forget();
    state.output.write(encodeCloseComplete());
  });
}
