export { AdminClient, type AdminClientOptions } from './client.js';
export { METRICS_CONTENT_TYPE, metricWord, renderMetrics } from './metrics.js';
export { CONNECTIONS_LIMIT_MAX, parseEndpoint } from './query.js';
export { type AdminErrorBody, type AdminOptions, AdminServer } from './server.js';
