/** CopyInResponse ('G'): the server is ready for COPY FROM STDIN. */
import type { Format } from '../bytes.js';
import { putFormats, startMessage } from '../bytes.js';

export const COPY_IN_RESPONSE = 0x47;

/** `format` of the whole stream and, in `columnFormats`, of each column; all text when `format` is 0. */
export function encodeCopyInResponse(format: Format, columnFormats: readonly Format[]): Buffer {
  const message = startMessage(COPY_IN_RESPONSE, 3 + 2 * columnFormats.length);
  message[5] = format;
  putFormats(message, 6, columnFormats);
  return message;
}
