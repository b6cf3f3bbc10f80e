"""TLS contexts for the link to the broker, made anew only when a certificate file has changed [shell]."""

import ssl

from service_runtime.common_settings import MqttSettings


class TlsContexts:
    """Loading the system's CAs takes 20 ms and more: too much to do at each attempt to connect."""

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[int, ...] | None = None

    def context(self) -> ssl.SSLContext | None:
        """The context to connect with; None without TLS. Raises OSError (ssl.SSLError too) for an unfit file."""
        settings = self._settings
        if not settings.tls:
            return None
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        made_of = tuple(file.stat().st_mtime_ns for file in files if file is not None)
        if self._context is None or made_of != self._made_of:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.ca_file is not None:
                # Python 3.13 began to refuse CAs without a key usage extension, as mosquitto's own guide makes them.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file)
            self._context, self._made_of = context, made_of
        return self._context
