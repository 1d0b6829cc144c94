"""The pages in Spanish."""

from dicomnode.web.wording.catalogue import Catalogue

SPANISH = Catalogue(
    "Español",
    {
        "95 % within": "95 % en menos de",
        (
            "A sender that is not listed is refused; Associations shows it "
            "with the lines that admit it."
        ): (
            "Un emisor que no figura se rechaza; Asociaciones lo muestra "
            "con las líneas que lo admiten."
        ),
        "Address": "Dirección",
        "Addresses": "Direcciones",
        "All its files, results and rows go; what destinations have stays there.": (
            "Se eliminan todos sus archivos, resultados y filas; lo que tienen los "
            "destinos se queda allí."
        ),
        "Analysed": "Analizados",
        "Associations": "Asociaciones",
        "At": "Hora",
        "Attempts": "Intentos",
        "Audit": "Auditoría",
        "Backfill": "Recuperación",
        "Bundles": "Modelos",
        "C-STORE of every storage SOP Class, C-ECHO, storage commitment": (
            "C-STORE de toda clase SOP de almacenamiento, C-ECHO, Storage Commitment"
        ),
        "Calibration": "Calibración",
        "Called": "Llamado",
        "Called AE title": "AE title llamado",
        "Calling": "Llamante",
        "Cancel": "Cancelar",
        "Chore": "Tarea",
        "Clear": "Borrar",
        "Connect": "Conectar",
        "Deliveries": "Entregas",
        "Destination": "Destino",
        "Destinations": "Destinos",
        "Device": "Dispositivo",
        "Did": "Hechos",
        "Done": "Hecho",
        "Drift": "Deriva",
        "Echo": "Eco",
        "Error": "Error",
        "Failed": "Fallidos",
        "Failed jobs": "Trabajos fallidos",
        "Figure": "Medida",
        "Filter": "Filtrar",
        "Finding": "Hallazgo",
        "From, to": "De, a",
        "Go on": "Continuar",
        "Hold": "Retener",
        "Host": "Equipo",
        "Hosts": "Equipos",
        "Housekeeping": "Mantenimiento",
        "How long it takes": "Cuánto tarda",
        "How to admit it": "Cómo admitirlo",
        "Images": "Imágenes",
        "Instances": "Instancias",
        "Job": "Trabajo",
        "Jobs": "Trabajos",
        "Jobs an hour": "Trabajos por hora",
        "Language": "Idioma",
        "Last did something": "Último trabajo hecho",
        "Last heard": "Última señal",
        "Last run": "Última ejecución",
        "Median": "Mediana",
        "Modality": "Modalidad",
        "Models": "Modelos",
        "Most in one hour": "Máximo en una hora",
        "Name": "Nombre",
        "Name or password is wrong.": "Nombre o contraseña incorrectos.",
        "Next attempt": "Próximo intento",
        ("No destination is configured; add a [[destination]] to config.toml."): (
            "No hay destino configurado; añada un [[destination]] a config.toml."
        ),
        "No keeper has run yet.": "Todavía no ha funcionado ningún keeper.",
        "No peer is configured; add a [[peer]] to config.toml.": (
            "No hay emisor configurado; añada un [[peer]] a config.toml."
        ),
        "No pipeline is configured; add a [[pipeline]] to config.toml.": (
            "No hay ninguna pipeline configurada; añada un [[pipeline]] a config.toml."
        ),
        "No study here yet. See Connect for how to send one.": (
            "Aún no hay estudios. Conectar explica cómo enviar uno."
        ),
        "Nobody has called yet.": "Nadie ha llamado aún.",
        "Not analysed": "No analizado",
        "Nothing is stuck.": "Nada está atascado.",
        "Nothing is to be sent.": "No hay nada que enviar.",
        "Nothing was brought in from an archive yet.": (
            "Aún no se ha traído nada de un archivo."
        ),
        "Nothing was watched yet.": "Aún no se ha observado nada.",
        "Notice": "Aviso",
        "Older": "Anteriores",
        "Oldest waiting job": "Trabajo en espera más antiguo",
        "On": "Sobre",
        "Only refused": "Solo rechazadas",
        "Not reached since": "Inaccesible desde",
        "Operating points": "Puntos de operación",
        "Outcome": "Resultado",
        "Pages": "Páginas",
        "Password": "Contraseña",
        "Patient": "Paciente",
        "Patients": "Pacientes",
        "Pause": "Pausar",
        "Paused": "En pausa",
        "Pipeline": "Pipeline",
        "Port": "Puerto",
        "Presence": "Presencia",
        "Problems": "Problemas",
        "Processes": "Procesos",
        "Question": "Pregunta",
        "Reason": "Motivo",
        "Reason, without names": "Motivo, sin nombres",
        "Received": "Recibido",
        "Refused lately": "Rechazados hace poco",
        "Release": "Liberar",
        "Remedy": "Remedio",
        "Remove this study for good": "Eliminar este estudio para siempre",
        "Report": "Informe",
        (
            "Research use only. Not a medical device. Not for diagnosis or "
            "treatment decisions."
        ): (
            "Solo para investigación. No es un producto sanitario. No para "
            "decisiones de diagnóstico o tratamiento."
        ),
        "Result": "Resultado",
        "Results not delivered": "Resultados no entregados",
        "Retry": "Reintentar",
        "Role": "Función",
        "Scores of the last images": "Valores de las últimas imágenes",
        "Send again": "Enviar de nuevo",
        "Sender": "Emisor",
        "Senders": "Emisores",
        "Sent": "Enviado",
        "Services": "Servicios",
        "Show": "Mostrar",
        "Show all": "Mostrar todo",
        "Sign in": "Iniciar sesión",
        "Sign out": "Cerrar sesión",
        "Skip to the content": "Ir al contenido",
        "Skipped": "Omitidos",
        "State": "Estado",
        "Statistics": "Estadísticas",
        "Stop": "Detener",
        "Stops after the study in hand": "Se detiene tras el estudio en curso",
        "Studies": "Estudios",
        "Studies in the last hour": "Estudios en la última hora",
        "Studies received in each hour of the last week": (
            "Estudios recibidos en cada hora de la última semana"
        ),
        "Study": "Estudio",
        "The newest first; the file holds all (PS3.15 A.5).": (
            "Lo más reciente primero; el archivo lo contiene todo (PS3.15 A.5)."
        ),
        "The worklist has changed.": "La lista de trabajo ha cambiado.",
        "This did not work": "No ha funcionado",
        "Timeline": "Cronología",
        "Took": "Duración",
        "Transfer syntaxes": "Sintaxis de transferencia",
        "Under way": "En curso",
        "Use": "Usar",
        "Validation": "Validación",
        "Validation, with 95 % intervals over patients": (
            "Validación, con intervalos del 95 % sobre pacientes"
        ),
        "Value": "Valor",
        "Verification": "Verificación",
        "Version": "Versión",
        "Waiting": "En espera",
        "Warm after": "Listo tras",
        "What to type into the modality": "Qué escribir en la modalidad",
        "What would admit it": "Qué lo admitiría",
        "Who may send": "Quién puede enviar",
        "Worker": "Worker",
        "Workers": "Workers",
        "Worklist": "Lista de trabajo",
        "accepted": "aceptada",
        "all; images are kept as they are sent": (
            "todas; las imágenes se guardan como se envían"
        ),
        "any": "todos",
        "claimed to results kept": "tomado hasta resultados guardados",
        "complete to claimed": "completo hasta tomado",
        "encrypted": "cifrado",
        "hidden from this account": "oculto para esta cuenta",
        "leads": "dirige",
        "none": "ninguno",
        "not yet": "todavía no",
        "overdue": "atrasada",
        "received to complete": "recibido hasta completo",
        "received to results kept": "recibido hasta resultados guardados",
        "refused": "rechazada",
        "revision": "revisión",
        "silent": "en silencio",
        "silent for longer than usual": "en silencio más de lo habitual",
        "the address of this machine": "la dirección de esta máquina",
        "Complete now": "Completar ahora",
        "No file is here any more.": "Ya no hay ningún archivo aquí.",
        "Remarks": "Observaciones",
        "Route again": "Asignar de nuevo",
        "Series": "Serie",
        "View": "Proyección",
        "Which instances a job has left out, and why, is in its report.": (
            "El informe de un trabajo dice qué instancias ha omitido y por qué."
        ),
        "held": "retenido",
        "Quarantine": "Cuarentena",
    },
)
