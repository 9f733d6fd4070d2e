SELECT EXISTS (SELECT FROM ${target} AS t WHERE ${within})
